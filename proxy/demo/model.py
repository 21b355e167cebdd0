"""What the simulated model decides: which tools to call, what to say, and when to stop. A pure function of the request."""

import re
from hashlib import blake2b
from itertools import accumulate
from random import Random

import msgspec

from proxy.demo.conversation import (
    Answer,
    BadRequest,
    Call,
    Finish,
    Prompt,
    Role,
    Source,
    Tool,
    ToolUse,
    Turn,
    Usage,
)
from proxy.demo.directives import DemoCall, DirectiveError, Fault, Options, Place, Step, parse_directives, parse_fault
from proxy.demo.schema import SchemaWriter, places_in
from proxy.demo.tokens import count_tokens, tokens_of
from proxy.demo.writing import answer_tokens, sentence, style_of, thought_tokens

_REFUSAL = "I can’t help with that. Ask me something that a simulated model may answer."
_BAD_ARGUMENTS = '{"city": Oslo,, "unit'
_MAX_RESULT_CHARS = 300

_CODING_AGENT_NOTES = ("system-reminder", "environment_context", "user_instructions")
"""Elements that coding agents put into user messages beside what the user said."""

_COMMON_WORDS = frozenset((
    "agent", "apply", "bash", "call", "command", "copy", "create", "data", "delete", "edit", "exec", "execute",
    "exit", "fetch", "file", "files", "find", "from", "glob", "google", "grep", "image", "input", "list", "make",
    "memory", "message", "mode", "move", "open", "output", "patch", "plan", "query", "read", "replace", "run",
    "save", "search", "send", "shell", "skill", "stop", "task", "text", "todo", "tool", "update", "user", "view",
    "with", "write",
))  # fmt: skip
"""Words of tool names that a prompt may contain without meaning the tool."""

_PARALLEL_WORDS = frozenset(("parallel", "both", "each"))


class Plan(msgspec.Struct):
    """An answer, and how it is to be delivered."""

    answer: Answer
    options: Options
    fault: Fault | None = None
    fault_status: int = 0
    """Of `Fault.STATUS` and `Fault.ERROR`."""
    fault_at: int | Place | None = None
    """A number of tokens, or a place with a name; `None`: half of the answer."""


def make_plan(prompt: Prompt) -> Plan:
    """What the model answers. Raises BadRequest for a directive that cannot be carried out."""
    try:
        return _make_plan(prompt)
    except DirectiveError as fault:
        raise BadRequest(str(fault)) from fault


def count_input(prompt: Prompt) -> int:
    """Input tokens: the texts, three for each message, and the tools' schemas. Long texts count one for four characters."""
    texts = [turn.text for turn in prompt.turns]
    texts += [result.text for turn in prompt.turns for result in turn.results]
    texts += [tool.name + msgspec.json.encode(tool.schema).decode() for tool in prompt.tools]
    return 3 * len(prompt.turns) + sum(count_tokens(text) if len(text) <= 20_000 else len(text) // 4 for text in texts)


def _make_plan(prompt: Prompt) -> Plan:
    asked = _asked(prompt.turns)
    directives = parse_directives(_without_notes(prompt.turns[asked].text) if asked is not None else "")
    since = prompt.turns[asked + 1 :] if asked is not None else []
    step = _step(directives.steps, sum(len(turn.calls) for turn in since), prompt)
    options = directives.options_of(step)
    called_before = sum(len(turn.calls) for turn in prompt.turns)
    seed = blake2b(f"{directives.prompt}\0{called_before}\0{options.seed}".encode(), digest_size=12).hexdigest()
    chance = Random(seed)
    demanded = step.calls if step is not None else _tools_meant(prompt, directives.prompt, since)
    answer = Answer(seed, prompt.model, Finish.STOP, Usage(count_input(prompt), 0))
    answer.shows_reasoning = prompt.shows_reasoning
    answer.reports_usage = prompt.reports_usage and options.usage != "off"
    fault, status, at = parse_fault(options.fault) if options.fault is not None else (None, None, None)
    _fill(answer, prompt, options, chance, demanded, directives.prompt, since)
    if fault is Fault.BAD_ARGUMENTS:
        for call in answer.calls:
            call.pieces = tokens_of(_BAD_ARGUMENTS)
    _stop(answer, prompt)
    if options.finish is not None:
        answer.finish = _finish(options.finish)
    _count(answer, options)
    return Plan(answer, options, fault, status or options.status or 500, at)


def _fill(
    answer: Answer,
    prompt: Prompt,
    options: Options,
    chance: Random,
    demanded: list[DemoCall],
    asked: str,
    since: list[Turn],
) -> None:
    """All that the model would say without limits."""
    if options.refusal is not None:
        answer.finish = Finish.PROMPT_REFUSED if options.refusal == "prompt" else Finish.REFUSAL
        answer.refusal = tokens_of(_REFUSAL) if answer.finish is Finish.REFUSAL else []
        return
    thoughts = prompt.reasoning if options.reasoning is None else options.reasoning
    answer.reasoning = list(thought_tokens(chance, thoughts))
    offered = {tool.name: tool for tool in prompt.tools}
    unknown = [call.name for call in demanded if call.name not in offered]
    results = [result.text for turn in since for result in turn.results]
    if demanded and not unknown:
        answer.text = _words(options, chance, asked) if options.text is not None or options.tokens is not None else []
        answer.calls = _calls(answer.seed, demanded, offered, chance, asked)
        answer.finish = Finish.TOOL_CALLS
    elif unknown:
        answer.text = tokens_of(f"I was told to call {', '.join(unknown)}, but the request offers no such tool.")
    elif prompt.wants_json and options.text is None:
        answer.text = tokens_of(_json_text(prompt, chance, asked))
    elif results and options.text is None:
        answer.text = tokens_of(_report(results, chance))
        if options.tokens is not None:
            answer.text = [*answer.text, *answer_tokens(chance, asked, options.style, options.tokens)][: options.tokens]
    else:
        answer.text = _words(options, chance, asked)
    answer.sources = _sources("".join(answer.text), options.citations)


def _words(options: Options, chance: Random, asked: str) -> list[str]:
    if options.text is not None:
        return tokens_of(options.text)
    return list(answer_tokens(chance, asked, options.style or style_of(asked), options.tokens))


def _json_text(prompt: Prompt, chance: Random, asked: str) -> str:
    if prompt.schema is None:
        return msgspec.json.encode({"answer": sentence(chance), "about": asked[:200]}).decode()
    return msgspec.json.encode(SchemaWriter(chance, prompt.schema, asked).value()).decode()


def _report(results: list[str], chance: Random) -> str:
    """An answer that uses the tools' results."""
    shown = "\n".join(f"- {text[:_MAX_RESULT_CHARS].strip() or 'nothing'}" for text in results)
    return f"The tool{'s' if len(results) > 1 else ''} returned:\n\n{shown}\n\n{sentence(chance)}"


def _sources(text: str, count: int) -> list[Source]:
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", text)][:count] or [len(text)] * bool(text and count)
    starts = [0, *(end + 1 for end in ends)]
    return [
        Source(f"https://example.com/source/{number}", f"Source {number}", text[start:end], start, end)
        for number, (start, end) in enumerate(zip(starts, ends, strict=False), 1)
    ]


# --- tools


def _step(steps: list[Step], called: int, prompt: Prompt) -> Step | None:
    """The directive whose turn it is, after `called` calls. Without parallel calls every call has its own turn."""
    for step in steps:
        turns = [step.calls] if prompt.parallel else [[call] for call in step.calls]
        for calls in turns:
            if called == 0:
                return Step(calls, step.options)
            called = max(called - len(calls), 0)
    return None


def _tools_meant(prompt: Prompt, asked: str, since: list[Turn]) -> list[DemoCall]:
    """The calls that the prompt's words or the API's tool choice ask for; none once a result has come back."""
    tools = [tool for tool in prompt.tools if prompt.only_tools is None or tool.name in prompt.only_tools]
    if not tools or prompt.tool_use is ToolUse.NONE or any(turn.results for turn in since):
        return []
    words = frozenset(re.findall(r"[^\W\d_]+", asked.lower()))
    meant = [tool.name for tool in tools if _is_meant(tool, asked, words)]
    if not meant and prompt.tool_use is ToolUse.REQUIRED:
        meant = [tools[0].name]
    if prompt.parallel and words & _PARALLEL_WORDS and meant:
        repeated = meant * len(places_in(asked)) if len(meant) == 1 else []
        return [DemoCall(name) for name in (repeated or meant)[:8]]
    return [DemoCall(name) for name in meant[:1]]


def _is_meant(tool: Tool, asked: str, words: frozenset[str]) -> bool:
    parts = [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", tool.name)]
    if len(parts) > 1 and tool.name in asked:
        return True
    return any(part in words for part in parts if len(part) > 3 and part not in _COMMON_WORDS)


def _calls(seed: str, demanded: list[DemoCall], offered: dict[str, Tool], chance: Random, asked: str) -> list[Call]:
    calls: list[Call] = []
    for index, call in enumerate(demanded):
        arguments = call.arguments
        if arguments is None:
            value = SchemaWriter(chance, offered[call.name].schema or {"type": "object"}, asked, index).value()
            arguments = msgspec.json.encode(value).decode()
        calls.append(Call(f"{seed[:18]}{index:02d}", call.name, tokens_of(arguments)))
    return calls


# --- limits and counts


def _stop(answer: Answer, prompt: Prompt) -> None:
    """Cut the answer at the first stop sequence and at the limit of tokens."""
    text = "".join(answer.text)
    found = [(at, stop) for stop in prompt.stop if stop and (at := text.find(stop)) >= 0]
    if found:
        at, stop = min(found)
        answer.text, answer.calls, answer.finish = tokens_of(text[:at]), [], Finish.STOP_SEQUENCE
        answer.stop_sequence = stop
    if prompt.max_tokens is None:
        return
    left = prompt.max_tokens
    blocks = [answer.reasoning, answer.text, answer.refusal, *(call.pieces for call in answer.calls)]
    if sum(map(len, blocks)) <= left:
        return
    starts = [0, *accumulate(map(len, blocks))]
    answer.reasoning, answer.text, answer.refusal, *arguments = (
        block[: max(left - start, 0)] for block, start in zip(blocks, starts, strict=False)
    )
    for call, pieces in zip(answer.calls, arguments, strict=True):
        call.pieces = pieces
    answer.calls = [call for call in answer.calls if call.pieces]
    answer.finish = Finish.LENGTH
    answer.stop_sequence = None


def _finish(name: str) -> Finish:
    try:
        return Finish(name)
    except ValueError as fault:
        raise DirectiveError(f"demo directive: unknown finish {name!r}; known are {', '.join(Finish)}") from fault


def _count(answer: Answer, options: Options) -> None:
    usage = answer.usage
    usage.reasoning = len(answer.reasoning)
    usage.cached = min(options.cached or 0, usage.input)
    arguments = sum(len(call.pieces) for call in answer.calls)
    usage.output = usage.reasoning + len(answer.text) + len(answer.refusal) + arguments


# --- the user's prompt


def _asked(turns: list[Turn]) -> int | None:
    """Where the last prompt of the user stands: not a tool result, not only an agent's notes, unless it has a directive."""
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        if turn.role is not Role.USER:
            continue
        said = _without_notes(turn.text).strip()
        if "[[demo" in said or (said and not turn.results):
            return index
    return None


def _without_notes(text: str) -> str:
    """`text` without the elements that agents add. An element without an end stays."""
    for name in _CODING_AGENT_NOTES:
        opening, closing = f"<{name}>", f"</{name}>"
        kept: list[str] = []
        at = 0
        while (start := text.find(opening, at)) >= 0 and (end := text.find(closing, start)) >= 0:
            kept.append(text[at:start])
            at = end + len(closing)
        text = "".join(kept) + text[at:]
    return text
