"""What the simulated model writes when nobody tells it what to write. The same chance gives the same words."""

from collections.abc import Iterator
from enum import StrEnum
from itertools import cycle, islice
from random import Random

from proxy.demo.tokens import tokens_of


class Style(StrEnum):
    PROSE = "prose"
    CODE = "code"
    MULTILINGUAL = "multilingual"


_STYLE_WORDS = {
    Style.CODE: ("code", "function", "python", "javascript", "script", "program"),
    Style.MULTILINGUAL: ("emoji", "language", "languages", "multilingual", "translate", "unicode"),
}
"""Words of a prompt that ask for a style; without any, and by default, it is prose."""

_SUBJECTS = (
    "A stream", "The reader", "Each event", "A slow caller", "The first token", "An open connection", "The provider",
    "A good protocol", "The answer", "A careful proxy", "The last frame", "A small buffer", "Every piece of text",
)  # fmt: skip
_VERBS = (
    "arrives before", "waits for", "explains", "does not replace", "is worth more than", "depends on", "follows",
    "makes room for", "never hides", "costs less than", "stands for", "carries",
)  # fmt: skip
_OBJECTS = (
    "the one that comes next", "a clear ending", "the whole answer", "a promise that nobody can check",
    "what was asked", "a quiet pause", "the words that are already there", "one honest error", "the patience of its reader",
    "a second attempt", "a number on a dashboard", "the time that it takes to read a line",
)  # fmt: skip
_TAILS = (
    ".", ", and that is enough.", "; the rest is detail.", ", even on a slow day.", " (most of the time).",
    ", which is easy to see in a small example.", ", as long as both sides agree.", ".", ".",
)  # fmt: skip

_THOUGHTS = (
    "The question is short, so the answer should be as well.",
    "First find out what is really asked.",
    "There are two ways to say this; the plain one is better.",
    "A number would help here, but none was given.",
    "Check the order of the steps once more.",
    "Nothing in the request contradicts that.",
    "So the answer can begin.",
)

_FOREIGN = (
    "Strømmen begynner før svaret er ferdig, og det er hele poenget.",
    "データは少しずつ届き、読む人はすぐに読み始められます。",
    "每个字到达时就显示出来,不必等到最后。",
    "Каждое слово приходит сразу, а конец виден ясно.",
    "كل كلمة تصل في وقتها، والنهاية واضحة.",
    "हर शब्द तुरंत आता है, और अंत साफ़ दिखता है।",
    "한 글자씩 도착하고, 끝은 분명합니다.",
    "Το τέλος φαίνεται καθαρά, ακόμη κι όταν κάτι πάει στραβά.",
    "Zażółć gęślą jaźń, a strumień płynie dalej.",
    "🌊 → 🚰 → 💬, 👩‍👩‍👧‍👦 and 🏳️‍🌈 stay whole, 👍🏽 too.",
    "\u2028 is a line break to some readers, and data to a stream.",
)

_CODE = (
    """def total(values: list[int]) -> int:
    result = 0
    for value in values:
        result += value
    return result
""",
    """async def read(stream):
    async for event in stream:
        if event.data == "[DONE]":
            return
        yield event
""",
    """const source = new EventSource("/chat?prompt=hello");
source.onmessage = ({ data }) => {
  if (data === "[DONE]") return source.close();
  document.body.append(JSON.parse(data).text);
};
""",
)
_CODE_NAMES = ("python", "python", "javascript")


def style_of(prompt: str) -> Style:
    """The style that the words of a prompt ask for."""
    words = set(prompt.lower().split())
    return next((style for style, cues in _STYLE_WORDS.items() if words.intersection(cues)), Style.PROSE)


def answer_tokens(chance: Random, prompt: str, style: Style | None, count: int | None) -> Iterator[str]:
    """The tokens of an answer: `count` of them, or as many as some whole paragraphs have."""
    parts = _parts(chance, prompt, style if style is not None else style_of(prompt))
    if count is not None:
        return islice((token for part in parts for token in tokens_of(part)), count)
    text = "".join(islice(parts, chance.randint(4, 9))).rstrip()
    return iter(tokens_of(text))


def thought_tokens(chance: Random, count: int) -> Iterator[str]:
    """`count` tokens of reasoning."""

    thoughts = cycle(chance.sample(_THOUGHTS, len(_THOUGHTS)))
    return islice((token for thought in thoughts for token in tokens_of(thought + " ")), count)


def sentence(chance: Random) -> str:
    return f"{chance.choice(_SUBJECTS)} {chance.choice(_VERBS)} {chance.choice(_OBJECTS)}{chance.choice(_TAILS)}"


def _parts(chance: Random, prompt: str, style: Style) -> Iterator[str]:
    """Sentences and blocks without end."""
    yield _opening(prompt)
    while True:
        for _ in range(chance.randint(2, 4)):
            foreign = style is Style.MULTILINGUAL and chance.random() < 0.7
            yield (chance.choice(_FOREIGN) if foreign else sentence(chance)) + " "
        if style is Style.CODE:
            index = chance.randrange(len(_CODE))
            yield f"\n\n```{_CODE_NAMES[index]}\n{_CODE[index]}```\n\n"
        else:
            yield "\n\n"


def _opening(prompt: str) -> str:
    words = prompt.split()
    if not words:
        return "Hello. "
    topic = " ".join(words[:12]) + (" …" if len(words) > 12 else "")
    return f"You asked: “{topic}” "
