"""A simulated model behind a real HTTP server on loopback: no key, three wire formats, faults on request.

    server = DemoServer()
    base_url = await server.start() + BASE_PATHS["openai_chat"]
    ...
    await server.stop()

It shares no code with the dialects and providers: what it writes is what the real APIs write, and a mistake on one side
is not repeated on the other. `GET /` on the server, or the docstring of `directives`, says what it can be told to do.
"""

from proxy.demo import anthropic, gemini, openai_chat
from proxy.demo.server import MODELS, DemoServer

BASE_PATHS = {
    "openai_chat": openai_chat.BASE_PATH,
    "anthropic": anthropic.BASE_PATH,
    "gemini": gemini.BASE_PATH,
}
"""What follows the server's URL in the `base_url` of a provider, by the provider's kind."""

__all__ = ["BASE_PATHS", "MODELS", "DemoServer"]
