"""Named deviations of compatible vendors, as data: what a configuration may say under `quirks`.

Reading needs none of these: every deviation seen in recordings is understood by default. Quirks shape requests, or
opt in to rewriting.
"""

import msgspec


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    think_tags: bool = False
    """Turn inline `<think>…</think>` text into reasoning."""
    claude_version: str | None = None
    """Which Claude a model is, as `4.5`, where its name does not tell (a deployment's own name). Decides what is sent."""
    system_messages: bool = False
    """The model takes role `system` between other messages (newer Claude). Without it such a message becomes user text."""
