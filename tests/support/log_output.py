"""A log output whose lines a test reads back."""

import json
import logging
import os

from proxy.config import Log
from proxy.logs import start_logging

SECRET = "canary-0123456789"
"""Configured as a secret of every `Output`."""


class Output:
    """A log output whose lines can be read back."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.handler = start_logging(Log(), [SECRET], self.write_end)

    def lines(self) -> list[str]:
        """All lines so far; ends the output."""
        self.handler.close()
        os.close(self.write_end)
        with os.fdopen(self.read_end, "rb") as reader:
            return reader.read().decode().splitlines()

    def entries(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines()]

    def configure(self, settings: Log) -> None:
        """Take over other settings."""
        self.handler.configure(settings, [SECRET])

    def forget(self) -> None:
        """Leave the logging module as it was."""
        logging.getLogger().removeHandler(self.handler)
        logging.getLogger("proxy").setLevel(logging.NOTSET)
        logging.getLogger("proxy.access").setLevel(logging.NOTSET)
