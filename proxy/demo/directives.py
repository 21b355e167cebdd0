"""The simulated model answers like a language model that knows nothing. It speaks three APIs:

    POST /v1/chat/completions                               OpenAI Chat Completions
    POST /v1/messages, /v1/messages/count_tokens            Anthropic Messages
    POST /v1beta/models/MODEL:generateContent, :streamGenerateContent, :countTokens     Gemini (also under /v1)
    GET  /v1/models, /v1beta/models, /stats

The same request always gets the same answer. About 50 tokens a second; model `demo-fast` does not wait. What the API's
own fields ask for is honoured: streaming, max tokens, stop sequences, tools and tool choice, JSON and JSON Schema,
reasoning. A tool is called when the prompt names it (`get_weather`) or a word of its name (`weather`); once for each
city when the prompt says `parallel`, `both` or `each`.

Directives in the last prompt of the user make it do exactly what you want:

    [[demo tokens=200 rate=0]]                          200 tokens, as fast as possible
    [[demo text="Hello, world."]]                       this text
    [[demo tool=get_weather]]                           call this tool; the arguments are made from its schema
    [[demo tool=Write {"file_path":"a","content":"b"}]] call it with these arguments
    [[demo tool=f {"x":1} tool=g]]                      two calls in parallel
    [[demo tool=f]] [[demo tool=g]]                     two turns: g is called when f's result has come back
    [[demo fault=429 retry_after=2 times=1]]            refuse once, then answer
    [[demo tokens=50 fault=rst@20]]                     reset the connection after 20 tokens

A directive with `tool` is a turn of its own, and its other options are for that turn. The options of the other
directives are for every turn; their `text` and `tokens` are for the answer after the last tool result. A value is a word,
or JSON text in double quotes. An unknown option is answered with 400.

    tokens=N            length of the text                  rate=R          tokens a second; 0: do not wait
    text="…"            the text itself                     delay=S         seconds before the first token
    style=S             prose, code, multilingual           seed=X          another answer to the same prompt
    reasoning=N         tokens of reasoning                 cached=N        of the input tokens, from a cache
    refusal             decline in words                    citations=N     that many sources
    refusal=prompt      reject the prompt, without words    finish=REASON   stop, length, content_filter
    tool=NAME {…}       call a tool                         usage=off       report no usage
    stamps              each token is the seconds since     pad=N           N letters after each token
                        the stream began
    nonce=NAME          remember this answer by a name of   fate=NAME       as JSON: how the answer of that name
                        8 to 64 letters and digits                          fares, or when and how it ended

    fault=F or F@AT     AT: a number of tokens, `headers` (before the status line), `first` (after the headers), `end`
                        (before the finish reason), `done` (before the terminator); half of the answer when it is absent
      400 … 599         this HTTP status (with retry_after=S); times=N: only the first N requests of this prompt
      error             an error event (status=503: its flavour); then nothing
      cut               the body ends without a terminator, cleanly for HTTP
      half              the same in the middle of an event
      fin, rst          the connection is closed or reset in the middle of the body
      stall             nothing more comes (stall_s=S: goes on after S seconds; interval=S: keep-alives meanwhile)
      pings             nothing but the API's keep-alives (every interval=S seconds, 1 by default)
      endless, flood    tokens without end, in pace or large and as fast as they are read
      garbage           an event that is no JSON                     wrong_type   JSON with fields of wrong types
      huge              one event of size=N bytes, 32 MiB by default html         status 200 and a page, no stream
      empty             status 200 and no body                       json         a whole answer although a stream was asked for
      drip              every byte by itself (interval=S apart)      no_finish    no finish reason, but the terminator
      bad_arguments     tool arguments that are no JSON
"""

import re
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from proxy.demo.fates import NAME
from proxy.demo.writing import Style


class Fault(StrEnum):
    """What goes wrong on request; the module's docstring says how."""

    STATUS = "status"
    ERROR = "error"
    CUT = "cut"
    HALF = "half"
    FIN = "fin"
    RST = "rst"
    STALL = "stall"
    PINGS = "pings"
    ENDLESS = "endless"
    FLOOD = "flood"
    GARBAGE = "garbage"
    WRONG_TYPE = "wrong_type"
    HUGE = "huge"
    HTML = "html"
    EMPTY = "empty"
    JSON = "json"
    DRIP = "drip"
    NO_FINISH = "no_finish"
    BAD_ARGUMENTS = "bad_arguments"


class Place(StrEnum):
    """Where in an answer a fault strikes, other than after a number of tokens."""

    HEADERS = "headers"
    FIRST = "first"
    END = "end"
    DONE = "done"


class DirectiveError(ValueError):
    """A directive that says what cannot be done; the text is for the caller."""


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """The options of directives. `None`: not given."""

    tokens: Annotated[int, Meta(ge=0, le=200_000)] | None = None
    text: str | None = None
    style: Style | None = None
    rate: Annotated[float, Meta(ge=0)] | None = None
    delay: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    seed: str = ""
    reasoning: Annotated[int, Meta(ge=0, le=50_000)] | None = None
    cached: int | None = None
    citations: Annotated[int, Meta(ge=0, le=100)] = 0
    refusal: str | None = None
    finish: str | None = None
    usage: str = "on"
    fault: str | None = None
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    retry_after: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    times: int | None = None
    stall_s: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    interval: Annotated[float, Meta(ge=0.001)] | None = None
    size: Annotated[int, Meta(ge=0, le=256 * 1024 * 1024)] = 32 * 1024 * 1024
    stamps: str | None = None
    pad: Annotated[int, Meta(ge=0, le=64 * 1024)] = 0
    nonce: Annotated[str, Meta(pattern=f"^{NAME.pattern}$")] | None = None
    fate: Annotated[str, Meta(pattern=f"^{NAME.pattern}$")] | None = None


class DemoCall(msgspec.Struct):
    """A tool call that a directive demands; `arguments` is JSON text, `None`: made from the tool's schema."""

    name: str
    arguments: str | None = None


class Step(msgspec.Struct):
    """One turn of the model that calls tools."""

    calls: list[DemoCall]
    options: dict[str, object]


class Directives(msgspec.Struct):
    """All directives of one prompt."""

    steps: list[Step]
    options: dict[str, object]
    prompt: str
    """The prompt without its directives."""

    def options_of(self, step: Step | None) -> Options:
        """The options of one turn. Raises DirectiveError."""
        own = step.options if step is not None else {}
        final_only = ("text", "tokens") if step is not None else ()
        shared = {name: value for name, value in self.options.items() if name not in final_only}
        try:
            return msgspec.convert({**shared, **own}, Options, strict=False)
        except msgspec.ValidationError as fault:
            raise DirectiveError(f"demo directive: {fault}") from fault


_OPENING = re.compile(r"\[\[demo\b")
_CLOSING = re.compile(r"\s*\]\]")
_NAME = re.compile(r"\s*(\w+)")
_OBJECT = re.compile(r"\s*\{")
_WORD = re.compile(r"[^\s\]\"]+")
_FLAG = "yes"


def parse_directives(text: str) -> Directives:
    """The directives in a prompt. Raises DirectiveError, which says what was expected."""
    found = Directives([], {}, "")
    rest: list[str] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        rest.append(text[at : opening.start()])
        at = _read_directive(text, opening.end(), found)
    rest.append(text[at:])
    found.prompt = " ".join(" ".join(rest).split())
    return found


def parse_fault(text: str) -> tuple[Fault, int | None, int | Place | None]:
    """The fault that `fault=` names, its HTTP status if it is one, and where it strikes. Raises DirectiveError."""
    name, _, at = text.partition("@")
    place = _parse_place(at) if at else None
    if name.isdigit() and 400 <= int(name) <= 599:
        return Fault.STATUS, int(name), place
    try:
        return Fault(name), None, place
    except ValueError as fault:
        raise _unknown("fault", name, [*Fault]) from fault


def _parse_place(text: str) -> int | Place:
    if text.isdigit():
        return int(text)
    try:
        return Place(text)
    except ValueError as fault:
        raise _unknown("place", text, [*Place]) from fault


def _read_directive(text: str, at: int, found: Directives) -> int:
    """Read one directive up to its end; gives the position after it."""
    calls: list[DemoCall] = []
    options: dict[str, object] = {}
    while (closing := _CLOSING.match(text, at)) is None:
        named = _NAME.match(text, at)
        if named is None:
            raise DirectiveError(f"demo directive: expected an option or ]], got {text[at : at + 20]!r}")
        name, at = named.group(1), named.end()
        value: str = _FLAG
        if text[at : at + 1] == "=":
            value, at = _read_value(text, at + 1)
        if name == "tool":
            arguments, at = _read_arguments(text, at)
            calls.append(DemoCall(value, arguments))
        elif name in Options.__struct_fields__:
            options[name] = value
        else:
            raise _unknown("option", name, [*Options.__struct_fields__, "tool"])
    if calls:
        found.steps.append(Step(calls, options))
    else:
        found.options.update(options)
    return closing.end()


def _read_value(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] == '"':
        end = _json_end(text, at)
        return _decoded(text[at:end], str), end
    word = _WORD.match(text, at)
    if word is None:
        raise DirectiveError(f"demo directive: expected a value, got {text[at : at + 20]!r}")
    return word.group(), word.end()


def _read_arguments(text: str, at: int) -> tuple[str | None, int]:
    opening = _OBJECT.match(text, at)
    if opening is None:
        return None, at
    start = opening.end() - 1
    end = _json_end(text, start)
    _decoded(text[start:end], dict[str, object])
    return text[start:end], end


_T = TypeVar("_T")


def _decoded(text: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise DirectiveError(f"demo directive: expected JSON, got {text[:40]!r} ({fault})") from fault


_JSON_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL)


def _json_end(text: str, at: int) -> int:
    """Where the JSON string, object or array that begins at `at` ends."""
    depth = 0
    for token in _JSON_TOKEN.finditer(text, at) if _JSON_TOKEN.match(text, at) else ():
        char = token.group()[0]
        depth += 1 if char in "{[" else -1 if char in "}]" else 0
        if depth <= 0:
            return token.end()
    raise DirectiveError(f"demo directive: JSON without an end: {text[at : at + 40]!r}")


def _unknown(what: str, came: str, known: list[str]) -> DirectiveError:
    close = get_close_matches(came, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
    return DirectiveError(f"demo directive: unknown {what} {came!r}{hint}")
