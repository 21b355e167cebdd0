"""A canonical request as the body of `POST /v1/messages`.

Spec: docs.anthropic.com/en/api/messages; anthropic SDK 2.12 `types/message_create_params.py`. The version sent is
2023-06-01: 2026-10-21 refuses `temperature`, `top_p` and `top_k` for every model, the older one only where the model does.
"""

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.events import Origin, ToolKind
from proxy.hub.request import ChatRequest, FormatKind, ToolChoice, ToolDefinition, ToolMode
from proxy.providers.anthropic.blocks import Json, with_cache
from proxy.providers.anthropic.messages import Conversation, tool_loop_without_thinking
from proxy.providers.anthropic.models import model_of
from proxy.providers.anthropic.names import sendable
from proxy.providers.anthropic.schema import adapt, is_strict, with_object_type
from proxy.providers.anthropic.thinking import ThinkingPlan, plan_thinking
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.custom_tools import SCHEMA
from proxy.providers.request_parts import foreign_proofs

VERSION = "2023-06-01"
PATH = "/v1/messages"
FILES_BETA = "files-api-2025-04-14"

OWN_FIELDS = frozenset(
    {
        "cache_control",
        "compaction",
        "container",
        "context_management",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "metadata",
        "speed",
        "thinking",
        "thread",
    }
)
"""Extensions that are fields of this API: sent as they came. All others are named as dropped."""

OUTPUT_CONFIG = "output_config."
"""How extensions begin that are fields of `output_config`."""

BETAS = "anthropic_beta"
"""The extension that holds the caller's `anthropic-beta` header, as a JSON list."""

SERVICE_TIER = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
"""Other tiers have no counterpart and are dropped."""

MIN_THINKING_TOP_P = 0.95

JSON_HINT = "Answer with one valid JSON object and nothing else: no other text, no code fence."
SCHEMA_HINT = "The JSON object must be valid against this JSON Schema: "

_TEXT_LIST = msgspec.json.Decoder(list[str])


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """The request for `target`. Raises CallerError for audio, `n` above 1, and what the API would refuse anyway."""
    if request.sampling.n > 1:
        raise CallerError(ErrorKind.INVALID_REQUEST, "n: this model gives one answer a request", param="n")
    return _Encoding(request, target).encode()


class _Encoding:
    """One request on its way: `body` grows field by field, `dropped` says what could not come along."""

    def __init__(self, request: ChatRequest, target: Target) -> None:
        self.request = request
        self.target = target
        self.model = model_of(target.model, target.quirks.claude_version)
        self.body: Json = {"model": target.model}
        self.output_config: Json = {}
        self.dropped: list[str] = []

    def encode(self) -> UpstreamRequest:
        conversation = Conversation(takes_system_turns=self.target.quirks.system_messages)
        conversation.add(self.request.messages)
        self.dropped += conversation.dropped
        self.dropped += foreign_proofs(self.request, Origin.ANTHROPIC)
        plan = self._thinking(conversation)
        self.body["max_tokens"] = plan.max_tokens
        self._tools(plan)
        self._sampling(plan)
        self._format(conversation)
        self._others()
        self._extensions()
        if conversation.system:
            self.body["system"] = conversation.system
        if self.output_config:
            self.body["output_config"] = self.output_config
        self.body["messages"] = [turn.as_json() for turn in conversation.turns]
        self.body["stream"] = True
        return UpstreamRequest(
            PATH,
            msgspec.json.encode(self.body),
            headers=self._headers(conversation),
            dropped=tuple(self.dropped),
        )

    def _headers(self, conversation: Conversation) -> dict[str, str]:
        betas: list[str] = []
        asked = self.request.extensions.get(BETAS)
        if asked is not None:
            betas += _TEXT_LIST.decode(asked)
        if conversation.has_files and FILES_BETA not in betas:
            betas.append(FILES_BETA)
        headers = {"content-type": "application/json", "anthropic-version": VERSION}
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        return headers

    # --- thinking

    def _thinking(self, conversation: Conversation) -> ThinkingPlan:
        """The plan, its fields in the body.

        Thinking gives way where the history does not allow it: to a prefilled answer, which is the caller's words and
        must be continued, and, by budget, to a tool loop that lost its thinking.
        """
        asked = self.request.sampling.max_tokens
        limit = asked if asked is not None else self.target.max_tokens or self.model.default_max_tokens
        plan = plan_thinking(self.request.reasoning, self.model, limit)
        turns = conversation.turns
        is_excluded = turns[-1].is_prefill or (plan.has_budget and tool_loop_without_thinking(turns))
        if plan.is_refused or (plan.is_on and is_excluded):
            self.dropped.append("reasoning")
            return ThinkingPlan(limit)
        if plan.thinking is not None:
            self.body["thinking"] = plan.thinking
        if plan.effort is not None:
            self.output_config["effort"] = plan.effort
        return plan

    # --- tools

    def _tools(self, plan: ThinkingPlan) -> None:
        request = self.request
        choice = request.tool_choice
        allowed = choice.allowed if choice is not None else None
        tools: list[Json | msgspec.Raw] = []
        for index, tool in enumerate(request.tools):
            if allowed is None or tool.name in allowed:
                tools.append(self._tool(tool, f"tools[{index}]"))
        for server_tool in request.server_tools:
            if server_tool.origin is Origin.ANTHROPIC:
                tools.append(msgspec.Raw(server_tool.json))
            else:
                self.dropped.append(f"tools: {server_tool.type}")
        if tools:
            self.body["tools"] = tools
            self._tool_choice(choice, plan)
        elif choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED):
            self.dropped.append("tool_choice")

    def _tool(self, tool: ToolDefinition, path: str) -> Json:
        out: Json = {"name": sendable(tool.name, f"{path}.name"), **self._own_fields(f"tools[{tool.name}].")}
        if tool.description:
            out["description"] = tool.description
        if tool.kind is ToolKind.CUSTOM:
            out["input_schema"] = msgspec.Raw(SCHEMA)
            if tool.format is not None:
                self.dropped.append(f"{path}.format")
            return with_cache(out, tool.cache)
        try:
            schema = with_object_type(tool.parameters or b'{"type":"object","properties":{}}')
            if tool.strict and self.model.has_structured_output and is_strict(schema):
                out["strict"] = True
            elif tool.strict:
                self.dropped.append(f"{path}.strict")
        except (ValueError, RecursionError) as fault:
            raise _no_schema(f"{path}.parameters") from fault
        out["input_schema"] = msgspec.Raw(schema)
        return with_cache(out, tool.cache)

    def _own_fields(self, prefix: str) -> Json:
        """Extensions that are fields of something of this API (`tools[f].defer_loading`)."""
        own = self.request.extensions.items()
        return {name.removeprefix(prefix): msgspec.Raw(json) for name, json in own if name.startswith(prefix)}

    def _tool_choice(self, choice: ToolChoice | None, plan: ThinkingPlan) -> None:
        wire: Json = {"type": "auto"}
        match choice.mode if choice is not None else ToolMode.AUTO:
            case ToolMode.NONE:
                self.body["tool_choice"] = {"type": "none"}
                return
            case ToolMode.REQUIRED | ToolMode.NAMED if plan.is_on:
                self.dropped.append("tool_choice")
            case ToolMode.REQUIRED:
                wire = {"type": "any"}
            case ToolMode.NAMED:
                name = choice.name if choice is not None else None
                wire = {"type": "tool", "name": sendable(name or "", "tool_choice.name")}
            case ToolMode.AUTO:
                pass
        if self.request.parallel_tool_calls is False:
            wire["disable_parallel_tool_use"] = True
        if choice is not None or len(wire) > 1:
            self.body["tool_choice"] = wire

    # --- sampling

    def _sampling(self, plan: ThinkingPlan) -> None:
        sampling = self.request.sampling
        temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
        if temperature is not None and not 0 <= temperature <= 1:
            self.dropped.append("temperature: beyond 0..1, the nearest is sent")
            temperature = min(max(temperature, 0.0), 1.0)
        if not self.model.has_sampling:
            temperature, top_p, top_k = self._without(temperature=temperature, top_p=top_p, top_k=top_k)
        elif plan.is_on:
            if temperature != 1:
                (temperature,) = self._without(temperature=temperature)
            if top_p is not None and top_p < MIN_THINKING_TOP_P:
                (top_p,) = self._without(top_p=top_p)
            (top_k,) = self._without(top_k=top_k)
        if temperature is not None and not self.model.has_both_samplings:
            (top_p,) = self._without(top_p=top_p)
        given = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        self.body.update({name: value for name, value in given.items() if value is not None})
        self._stop()
        self._unknown_sampling()

    def _without(self, **values: float | None) -> tuple[None, ...]:
        """Nothing in their place; those that were given are named as dropped."""
        self.dropped += [name for name, value in values.items() if value is not None]
        return tuple(None for _ in values)

    def _stop(self) -> None:
        stop = self.request.sampling.stop
        usable = [text for text in stop if text.strip()]
        if len(usable) < len(stop):
            self.dropped.append("stop: blank sequences")
        if usable:
            self.body["stop_sequences"] = usable

    def _unknown_sampling(self) -> None:
        sampling = self.request.sampling
        given = {
            "seed": sampling.seed is not None,
            "presence_penalty": bool(sampling.presence_penalty),
            "frequency_penalty": bool(sampling.frequency_penalty),
            "logit_bias": sampling.logit_bias is not None,
            "logprobs": sampling.logprobs,
            "top_logprobs": sampling.top_logprobs is not None,
        }
        self.dropped += [name for name, is_given in given.items() if is_given]

    # --- output format

    def _format(self, conversation: Conversation) -> None:
        """A schema is enforced where the model can; JSON without a schema, which none can, is asked for in words."""
        wanted = self.request.response_format
        if wanted is None or wanted.kind is FormatKind.TEXT:
            return
        if wanted.schema is None or not self.model.has_structured_output:
            self.dropped.append("response_format: asked for in the system text")
            schema = f" {SCHEMA_HINT}{wanted.schema.decode('utf-8', 'replace')}" if wanted.schema is not None else ""
            conversation.system.append({"type": "text", "text": JSON_HINT + schema})
            return
        try:
            adapted, lost = adapt(wanted.schema)
        except (ValueError, RecursionError) as fault:
            raise _no_schema("response_format") from fault
        self.dropped += [f"response_format.schema.{path}" for path in lost]
        self.output_config["format"] = {"type": "json_schema", "schema": msgspec.Raw(adapted)}

    # --- the rest

    def _others(self) -> None:
        request = self.request
        if request.user is not None:
            self.body["metadata"] = {"user_id": request.user}
        tier = request.service_tier
        if tier is not None and tier in SERVICE_TIER:
            self.body["service_tier"] = SERVICE_TIER[tier]
        elif tier is not None:
            self.dropped.append("service_tier")
        given = {"metadata": request.metadata, "verbosity": request.verbosity, "cache_key": request.cache_key}
        self.dropped += [name for name, value in given.items() if value is not None]

    def _extensions(self) -> None:
        self.output_config.update(self._own_fields(OUTPUT_CONFIG))
        for name, json in self.request.extensions.items():
            if name in OWN_FIELDS:
                self.body[name] = msgspec.Raw(json)
            elif name != BETAS and not name.startswith((OUTPUT_CONFIG, "tools[")):
                self.dropped.append(name)


def _no_schema(path: str) -> CallerError:
    return CallerError(ErrorKind.INVALID_REQUEST, f"{path}: expected a JSON Schema that is an object", param=path)
