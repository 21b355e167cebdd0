"""What the command line hands to `serve` beside the configuration."""

import msgspec

from proxy.config import Loaded, Sources


class ServeOptions(msgspec.Struct, frozen=True):
    sources: Sources
    """For a reload: `config.load(options.sources)`."""
    loaded: Loaded
    """What the configuration was made from: its warnings, the secrets to mask, its digest."""
