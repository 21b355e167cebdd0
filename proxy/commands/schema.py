"""`llm-stream-proxy schema`: the JSON Schema of configuration files."""

import sys

from proxy.config.json_schema import schema_text


def run() -> int:
    """Print it. Raises OSError when standard output is gone."""
    sys.stdout.write(schema_text())
    return 0
