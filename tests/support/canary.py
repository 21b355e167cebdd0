"""Words that mark what must stay in: keys, prompts and completions. Wherever tests send them, no output may show them.

`proxy_process` looks at everything that a proxy writes, and `conftest` at every line that a proxy within the tests' own
process would log. What may show them is the request that goes upstream, and the answer to the caller.
"""

import logging
import os
import re

from proxy.logs import LogOutput

CALLER_KEY = "canary-caller-key-5d1f0c"
PROVIDER_KEY = "canary-provider-key-5d1f0c"
PROMPT = "canary-prompt-5d1f0c"
COMPLETION = "canary-completion-5d1f0c"
SAID = "canary-said-5d1f0c"
"""In what a peer says that is neither: error texts, pages, headers, malformed bytes."""

_MARK = re.compile(rb"canary-[a-z-]*5d1f0c")


def shown(output: bytes) -> list[bytes]:
    """The canaries in an output."""
    return _MARK.findall(output)


class LogWatch(logging.Handler):
    """Notes each line that would show a canary, in the words in which the proxy would log it."""

    def __init__(self) -> None:
        super().__init__()
        self._output = LogOutput(os.open(os.devnull, os.O_WRONLY), has_thread=False)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._output.line(record)
        except Exception:  # a test of the log has made a record that cannot be written
            return
        if shown(line):
            self.lines.append(line.decode("utf-8", "replace"))
