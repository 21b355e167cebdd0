"""The commands of the command line, one module each; `proxy.__main__` parses and calls them."""

import msgspec

from proxy.config import Loaded, Sources


class ServeOptions(msgspec.Struct, frozen=True):
    """What the command line hands to `serve` beside the configuration."""

    sources: Sources
    """For a reload: `config.load(options.sources)`."""
    loaded: Loaded
    """What the configuration was made from: its warnings, the secrets to mask, its digest."""
