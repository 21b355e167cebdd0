"""What the README shows to be copied, run as it stands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"

PAGE = """
const output = {textContent: ""};
const pieces = %s;
globalThis.fetch = async () => new Response(new ReadableStream({
  start(controller) {
    for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
    controller.close();
  },
}));
%s
console.log(JSON.stringify(output.textContent));
"""

STREAM = (
    'data: {"text":"Hel"}\n\n: keep-alive\n\ndata: {"text":"","type":"reasoning_delta","reasoning":"x"}\n\n'
    ': x-proxy-joins 1 other\n\ndata: {"text":"lo\\n\\n"}\n\ndata: {"text":"","type":"finish","reason":"stop"}\n\ndata: [DONE]\n\n'
)


def snippet(language: str, mark: str) -> str:
    """The README's one code block with `mark` in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if mark in block]
    return found


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_fetch_reader_shows_the_text_and_passes_over_heartbeats(size: int) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    page = PAGE % (json.dumps(pieces), snippet("js", 'fetch("/chat"'))

    ran = subprocess.run(
        ["node", "--input-type=module", "-"], input=page, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == "Hello\n\n"
