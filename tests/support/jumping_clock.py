"""The proxy's own command on a machine whose wall clock is set: SIGUSR1 puts it a day ahead, SIGUSR2 two days back."""

import asyncio
import signal
import sys
import time

_REAL = time.time
_AHEAD_S = [0.0]
DAY_S = 86_400.0

time.time = lambda: _REAL() + _AHEAD_S[0]  # before anything of the proxy is imported, so that it gets this one


def main() -> int:
    """The proxy's exit code."""
    from proxy import __main__
    from proxy.commands import serve
    from proxy.config import Config
    from proxy.server.app import Running

    start = serve.start

    def jump(seconds: float) -> None:
        _AHEAD_S[0] += seconds

    async def start_jumping(config: Config) -> Running:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, jump, DAY_S)
        loop.add_signal_handler(signal.SIGUSR2, jump, -2 * DAY_S)
        return await start(config)

    serve.start = start_jumping  # type: ignore[attr-defined]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
