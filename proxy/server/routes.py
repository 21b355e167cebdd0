"""All routes, as they follow from the registry of dialects and the short lists here."""

from collections.abc import Awaitable, Mapping

from aiohttp import web
from aiohttp.web_request import BaseRequest

from proxy.dialects import DIALECTS
from proxy.dialects.base import Dialect, Route
from proxy.playground import answer_playground
from proxy.server.admin import ADMIN_PATHS, answer_admin, refuse_remote
from proxy.server.dispatch import Dispatcher, Handler
from proxy.server.gateway import Gateway
from proxy.server.generate import generate
from proxy.server.models import answer_models
from proxy.server.passthrough import pass_through
from proxy.server.streams import add_stream_routes

MODEL_LIST_PATHS = (
    "/v1/models",
    "/openai/v1/models",
    "/anthropic/v1/models",
    "/v1beta/models",
    "/gemini/v1beta/models",
    "/gemini/v1/models",
)

OLLAMA_LIST_PATH = "/ollama/api/tags"
"""The list alone: its API has no path for one model of it."""


def add_routes(gateway: Gateway, *, has_admin_listener: bool) -> None:
    """Fill both dispatchers of `gateway`."""
    dispatcher = gateway.dispatcher
    for dialect in DIALECTS.values():
        for route in dialect.routes:
            dispatcher.add(route.method, route.path, _dialect_handler(gateway, dialect, route))
    _add_lists(gateway)
    _add_passthrough(gateway)
    _add_playground(dispatcher)
    _add_admin(gateway, has_admin_listener=has_admin_listener)


def _dialect_handler(gateway: Gateway, dialect: Dialect, route: Route) -> Handler:
    def handle(request: BaseRequest, values: Mapping[str, str]) -> Awaitable[web.StreamResponse]:
        return generate(gateway, request, dialect, route, values)

    return handle


def _add_lists(gateway: Gateway) -> None:
    async def handle(request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
        return await answer_models(gateway, request, values)

    _add_readable(gateway.dispatcher, OLLAMA_LIST_PATH, handle)
    for path in MODEL_LIST_PATHS:
        _add_readable(gateway.dispatcher, path, handle)
        _add_readable(gateway.dispatcher, path + "/{model:.+}", handle)


def _add_readable(dispatcher: Dispatcher, path: str, handler: Handler) -> None:
    """Serve GET, and HEAD as it: monitors ask so whether somebody is there."""
    dispatcher.add("GET", path, handler)
    dispatcher.add("HEAD", path, handler)


def _add_passthrough(gateway: Gateway) -> None:
    async def handle(request: BaseRequest, values: Mapping[str, str]) -> web.StreamResponse:
        return await pass_through(gateway, request, values)

    gateway.dispatcher.add("*", "/passthrough/{provider}/{path:.*}", handle)


def _add_playground(dispatcher: Dispatcher) -> None:
    async def handle(request: BaseRequest, _values: Mapping[str, str]) -> web.StreamResponse:
        return await answer_playground(request)

    for path in ("/", "/playground", "/playground/{file:[a-z.]+}"):
        _add_readable(dispatcher, path, handle)


def _add_admin(gateway: Gateway, *, has_admin_listener: bool) -> None:
    async def handle(request: BaseRequest, _values: Mapping[str, str]) -> web.StreamResponse:
        return await answer_admin(gateway, request)

    async def handle_local(request: BaseRequest, _values: Mapping[str, str]) -> web.StreamResponse:
        refusal = refuse_remote(request)
        if refusal is not None:
            return gateway.refuse(request, refusal)
        return await answer_admin(gateway, request)

    for path in ADMIN_PATHS:
        if has_admin_listener:
            _add_readable(gateway.admin_dispatcher, path, handle)
        else:
            _add_readable(gateway.dispatcher, path, handle_local)
    if has_admin_listener:
        add_stream_routes(gateway.admin_dispatcher, lambda: gateway.all_calls)
    else:
        add_stream_routes(gateway.dispatcher, lambda: gateway.all_calls, refuse_remote)
