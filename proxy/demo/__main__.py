"""`python -m proxy.demo`: the simulated model alone, until it is interrupted."""

import argparse
import asyncio
import signal
import sys

from proxy.demo import BASE_PATHS, DemoServer


async def serve(host: str, port: int, rate: float | None, delay_s: float | None) -> None:
    """Print the base URLs and serve until SIGINT or SIGTERM."""
    server = DemoServer(rate, delay_s)
    url = await server.start(host, port)
    lines = [f"{kind:<12} {url}{path}" for kind, path in BASE_PATHS.items()]
    sys.stdout.write("\n".join([*lines, f"{'manual':<12} {url}/", ""]))
    sys.stdout.flush()
    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    await stopped.wait()
    await server.stop()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m proxy.demo", description="Serve the simulated model alone, until interrupted."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0: any free port (the default)")
    parser.add_argument("--rate", type=float, help="tokens a second, 0: do not wait")
    parser.add_argument("--delay", type=float, help="seconds before the first token")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port, arguments.rate, arguments.delay))


if __name__ == "__main__":
    main()
