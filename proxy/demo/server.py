"""The simulated model as a real HTTP server on loopback."""

import os
import time

import msgspec
from aiohttp import web

from proxy.demo.anthropic import Anthropic
from proxy.demo.conversation import BadRequest
from proxy.demo.delivery import FAULT_MESSAGE, Delivery, Pace, Stats, StreamDelivery
from proxy.demo.directives import Fault, Place
from proxy.demo.directives import __doc__ as MANUAL
from proxy.demo.fates import Fates
from proxy.demo.gemini import Gemini
from proxy.demo.model import Plan, count_input, make_plan
from proxy.demo.openai_chat import OpenAIChat
from proxy.demo.tokens import tokens_of
from proxy.demo.whole import WholeDelivery
from proxy.demo.wire import CREATED, Api

MODELS = ("demo", "demo-fast", "demo-thinking")
"""Every name is accepted. `demo-fast` does not wait, `demo-thinking` always shows reasoning."""

DEFAULT_RATE = 50.0
DEFAULT_DELAY_S = 0.15
"""Before the first token. Real models need longer; this is enough to see it."""

RATE_VARIABLE = "DEMO_TOKENS_PER_S"
DELAY_VARIABLE = "DEMO_DELAY_S"

_MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_COUNTED_PROMPTS = 10_000
_STOP_PATIENCE_S = 0.05
"""Streams that are still open when the server stops are cut."""

_PAGE = "<!doctype html><title>Sign in</title><p>Please sign in to the network.</p>\n"
"""What a captive portal answers, with status 200."""

_OPENAI = OpenAIChat()
_ANTHROPIC = Anthropic()
_ANTHROPIC_COUNTS = Anthropic(counts=True)
_GEMINI = Gemini()


class DemoServer:
    """One simulated model. `rate` and `delay_s` are the pace where a prompt says nothing; `None`: the environment's
    `DEMO_TOKENS_PER_S` and `DEMO_DELAY_S`, else about 50 tokens a second after 0.15 s.
    """

    def __init__(self, rate: float | None = None, delay_s: float | None = None) -> None:
        environment = os.environ
        self._pace = Pace(
            float(environment.get(RATE_VARIABLE, DEFAULT_RATE)) if rate is None else rate,
            float(environment.get(DELAY_VARIABLE, DEFAULT_DELAY_S)) if delay_s is None else delay_s,
        )
        self.stats = Stats()
        self._fates = Fates(time.monotonic)
        self._runner: web.AppRunner | None = None
        self._struck: dict[str, int] = {}
        """How often each prompt was refused, for `times`."""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and give the base URL without a slash at its end. Port 0: any free one."""
        runner = web.AppRunner(
            self._application(), handler_cancellation=True, access_log=None, shutdown_timeout=_STOP_PATIENCE_S
        )
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self._runner = runner
        bound_port: int = runner.addresses[0][1]
        return f"http://{f'[{host}]' if ':' in host else host}:{bound_port}"

    async def stop(self) -> None:
        """Cut what is open and free the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        routes = application.router
        routes.add_get("/", self._manual)
        routes.add_get("/stats", self._stats)
        routes.add_get("/v1/models", self._models)
        routes.add_get("/v1beta/models", self._gemini_models)
        routes.add_post("/v1/chat/completions", self._openai)
        routes.add_post("/v1/messages", self._anthropic)
        routes.add_post("/v1/messages/count_tokens", self._anthropic_count)
        for version in ("v1", "v1beta"):
            routes.add_post(f"/{version}/models/{{model:.+}}:{{verb:[A-Za-z]+}}", self._gemini)
        routes.add_route("*", "/{path:.*}", self._nothing)
        return application

    async def _manual(self, request: web.Request) -> web.Response:
        return web.Response(text=MANUAL)

    async def _stats(self, request: web.Request) -> web.Response:
        return _json(msgspec.json.encode(self.stats))

    async def _models(self, request: web.Request) -> web.Response:
        models = [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in MODELS]
        return _json(msgspec.json.encode({"object": "list", "data": models}))

    async def _gemini_models(self, request: web.Request) -> web.Response:
        methods = ["generateContent", "streamGenerateContent", "countTokens"]
        models = [
            {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods} for name in MODELS
        ]
        return _json(msgspec.json.encode({"models": models}))

    async def _nothing(self, request: web.Request) -> web.Response:
        return _error(_OPENAI, 404, f"Invalid URL ({request.method} {request.path})")

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(_OPENAI, request)

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(_ANTHROPIC, request)

    async def _anthropic_count(self, request: web.Request) -> web.StreamResponse:
        return await self._count(_ANTHROPIC_COUNTS, request)

    async def _gemini(self, request: web.Request) -> web.StreamResponse:
        match request.match_info["verb"]:
            case "generateContent" | "streamGenerateContent":
                return await self._answer(_GEMINI, request)
            case "countTokens":
                return await self._count(_GEMINI, request)
            case verb:
                return _error(_GEMINI, 404, f"{verb} is not found or not supported for this model.")

    async def _count(self, api: Api, request: web.Request) -> web.StreamResponse:
        try:
            prompt = api.read(await request.read(), request.match_info, request.query)
        except BadRequest as fault:
            return _error(api, 400, str(fault))
        return _json(api.token_count(count_input(prompt)))

    async def _answer(self, api: Api, request: web.Request) -> web.StreamResponse:
        try:
            prompt = api.read(await request.read(), request.match_info, request.query)
            if prompt.model == "demo-thinking" and not prompt.reasoning:
                prompt.reasoning = 60
            plan = make_plan(prompt)
        except BadRequest as fault:
            return _error(api, 400, str(fault))
        if plan.options.fate is not None:
            plan.answer.text = tokens_of(self._fates.tell(plan.options.fate))
        if plan.fault is not None and not self._is_due(plan):
            plan.fault = None
        wants_stream = prompt.stream and plan.fault is not Fault.JSON
        if (instead := _instead(api, plan, wants_stream)) is not None:
            self._count_refusal()
            return instead
        pace = Pace(0, 0) if prompt.model == "demo-fast" else self._pace
        writer = api.writer(plan.answer, request.query)
        delivery = Delivery(request, writer, plan, pace.changed_by(plan.options), self.stats, self._fates)
        sender = StreamDelivery(delivery) if wants_stream else WholeDelivery(delivery)
        return await delivery.run(sender.send)

    def _is_due(self, plan: Plan) -> bool:
        """Whether the fault is still to happen: `times` counts the requests of one prompt."""
        if plan.options.times is None:
            return True
        if len(self._struck) > _MAX_COUNTED_PROMPTS:
            self._struck.clear()
        struck = self._struck.get(plan.answer.seed, 0)
        self._struck[plan.answer.seed] = struck + 1
        return struck < plan.options.times

    def _count_refusal(self) -> None:
        self.stats.started += 1
        self.stats.failed += 1


def _instead(api: Api, plan: Plan, wants_stream: bool) -> web.Response | None:
    """What is answered in place of the answer, for faults that begin and end with the status line."""
    match plan.fault:
        case Fault.STATUS:
            return _error(api, plan.fault_status, FAULT_MESSAGE, plan.options.retry_after)
        case Fault.ERROR if not wants_stream or plan.fault_at is Place.HEADERS:
            return _error(api, plan.fault_status, FAULT_MESSAGE, plan.options.retry_after)
        case Fault.HTML:
            return web.Response(text=_PAGE, content_type="text/html")
        case Fault.EMPTY:
            return web.Response(content_type="text/event-stream" if wants_stream else "application/json")
        case _:
            return None


def _error(api: Api, status: int, message: str, retry_after_s: float | None = None) -> web.Response:
    headers = api.error_headers(status, retry_after_s)
    body = api.error_body(status, message, retry_after_s)
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
