"""Writes a request of any caller as Gemini's: always `streamGenerateContent` with server-sent events.

Spec: ai.google.dev/api/generate-content; google-genai 3.4.0 `_GenerateContentParameters_to_mldev`.
"""

import msgspec

from proxy.hub.errors import CallerError, ErrorKind
from proxy.hub.request import ChatRequest
from proxy.providers.base import Target, UpstreamRequest
from proxy.providers.gemini.contents import Conversation
from proxy.providers.gemini.dropped import Dropped
from proxy.providers.gemini.models import generation, resource
from proxy.providers.gemini.settings import SERVICE_TIER, function_calling_config, generation_config, tools

JSON_HEADERS = {"content-type": "application/json"}

OWN_FIELDS = frozenset({"safetySettings", "cachedContent", "labels", "modelArmorConfig"})
"""Fields of this API that no hub field stands for. A caller's are sent on; other APIs have none of these names."""
OWN_OBJECTS = frozenset({"generationConfig", "toolConfig"})
"""Objects whose further members come as `generationConfig.speechConfig`."""


def encode_request(request: ChatRequest, target: Target) -> UpstreamRequest:
    """The request in this API. Raises CallerError for what must not be lost and cannot be carried."""
    dropped = Dropped()
    conversation = Conversation(generation(target.model), dropped)
    conversation.add(request.messages)
    body = _body(request, conversation, target.model, dropped)
    return UpstreamRequest(
        path=f"/v1beta/{resource(target.model)}:streamGenerateContent?alt=sse",
        body=msgspec.json.encode(body),
        headers=JSON_HEADERS,
        dropped=dropped.names(),
    )


def _body(request: ChatRequest, conversation: Conversation, model: str, dropped: Dropped) -> dict[str, object]:
    contents = conversation.contents()
    if not contents:
        message = "messages: expected at least one message that is not a system message"
        raise CallerError(ErrorKind.INVALID_REQUEST, message, param="messages")
    body: dict[str, object] = {"contents": contents}
    system_instruction = conversation.system_instruction()
    if system_instruction is not None:
        body["systemInstruction"] = system_instruction
    config = generation_config(request, model, dropped)
    entries = tools(request, dropped)
    tool_config: dict[str, object] = {}
    if request.tools:
        calling = function_calling_config(request.tool_choice)
        if calling:
            tool_config["functionCallingConfig"] = calling
    _extend(body, {"generationConfig": config, "toolConfig": tool_config}, request.extensions, dropped)
    for name, value in (("tools", entries), ("toolConfig", tool_config), ("generationConfig", config)):
        if value:
            body[name] = value
    _name_unsent(request, dropped)
    if request.service_tier is not None:
        tier = SERVICE_TIER.get(request.service_tier)
        dropped.add_if(request.service_tier not in SERVICE_TIER, "service_tier")
        if tier is not None:
            body["serviceTier"] = tier
    return body


def _extend(
    body: dict[str, object], objects: dict[str, dict[str, object]], extensions: dict[str, bytes], dropped: Dropped
) -> None:
    """Add the fields that are this API's own; name the others."""
    for name, json in extensions.items():
        parent, _, member = name.partition(".")
        if name in OWN_FIELDS:
            body[name] = msgspec.Raw(json)
        elif parent in OWN_OBJECTS and member:
            objects[parent].setdefault(member, msgspec.Raw(json))
        else:
            dropped.add(name)


def _name_unsent(request: ChatRequest, dropped: Dropped) -> None:
    dropped.add_if(request.parallel_tool_calls is False and request.tools, "parallel_tool_calls")
    dropped.add_if(request.tool_choice is not None and not request.tools, "tool_choice")
    dropped.add_if(request.user, "user")
    dropped.add_if(request.metadata, "metadata")
    dropped.add_if(request.verbosity, "verbosity")
    dropped.add_if(request.cache_key, "cache_key")
