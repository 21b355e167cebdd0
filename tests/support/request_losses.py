"""Fields of requests that change nothing, and why that is no loss. Names are those of `test_requests_lose_nothing`."""

OPAQUE = frozenset(
    {
        *("parameters", "input_schema", "schema", "args", "response"),
        *("parametersJsonSchema", "responseJsonSchema", "responseSchema"),
    }
)
"""Fields that hold the caller's own JSON: one value."""

DISCRIMINATORS = frozenset({"type", "role"})
"""They say what the fields beside them are, which is tested with those."""

_APPS_OWN = "the app's own bookkeeping: nothing for a model"
_SHOWN = "shown to the user beside the answer: convertToModelMessages of the AI SDK leaves it out as well"
_REPEATED = "repeats what `parts` say (version 4 of the AI SDK)"
_STATE = "what was denied or failed is said by the part's state"
_NO_PADDING = "padding against eavesdroppers: no stream of the proxy's own has any"
_MARK = "the hub's mark has neither mode nor time: Anthropic's shortest, which is the default"

_UI_BODY = {
    "id": _APPS_OWN,
    "trigger": _APPS_OWN,
    "messageId": _APPS_OWN,
    "messages[].id": _APPS_OWN,
    "messages[].metadata.a": _APPS_OWN,
    "messages[].parts[].filename": "images have no names in any provider's API; those of documents are kept",
    "messages[].experimental_attachments[].name": "images have no names in any provider's API",
    "messages[].parts[].state": "whether a text or reasoning was still streaming",
    "messages[].parts[].approval.id": _STATE,
    "messages[].parts[].approval.approved": _STATE,
    "messages[].parts[].sourceId": _SHOWN,
    "messages[].parts[].url": _SHOWN,
    "messages[].parts[].title": _SHOWN,
    "messages[].parts[].data.a": _SHOWN,
    "messages[].content": _REPEATED,
    "messages[].reasoning": _REPEATED,
    "messages[].parts[].reasoning": "repeats what its `details` say",
    "messages[].toolInvocations[].state": _REPEATED,
    "messages[].toolInvocations[].toolCallId": _REPEATED,
    "messages[].toolInvocations[].toolName": _REPEATED,
    "messages[].toolInvocations[].args": _REPEATED,
    "messages[].toolInvocations[].result.ok": _REPEATED,
}

_BY_DIALECT: dict[str, dict[str, str]] = {
    "ag_ui": {
        "threadId": "repeated in the answer's events: `Envelope.variant`",
        "runId": "repeated in the answer's events: `Envelope.variant`",
        "messages[].id": _APPS_OWN,
        "messages[].encryptedValue": "a proof that this proxy did not hand out is nobody's",
        "messages[].activityType": "activities are the interface's own (AG-UI 1.0): no model reads them",
    },
    "anthropic": {
        "messages[].content[].source.media_type": "of a plain text, which has one type",
        "messages[].content[].content[].citations.enabled": "of a search result in a tool's result, which becomes text",
    },
    "canonical": {
        "stream_options.include_usage": "this stream always shows usage",
        "messages[].reasoning_details[].format": "of a detail without a proof: its text is what is carried",
        "messages[].reasoning_details[].index": "of a detail without a proof: its text is what is carried",
    },
    "data_stream": _UI_BODY,
    "ollama": {"tools[].function.strict": "no field of this API"},
    "openai_chat": {
        "stream_options.include_obfuscation": _NO_PADDING,
        "messages[].content[].prompt_cache_breakpoint.mode": _MARK,
        "messages[].content[].prompt_cache_breakpoint.ttl": _MARK,
        "messages[].reasoning_details[].format": "of a detail without a proof: its text is what is carried",
        "messages[].reasoning_details[].index": "of a detail without a proof: its text is what is carried",
    },
    "openai_responses": {
        "stream_options.include_obfuscation": _NO_PADDING,
        "input[].id": "ties an item to the provider's store; that of reasoning is kept",
        "input[].status": "of an item that the caller gives back, which is whole",
        "input[].phase": "which of a turn's messages is the last word: no other API tells them apart",
        "user": "the older name of `safety_identifier`, which is given as well",
    },
    "text_stream": _UI_BODY,
    "ui_message_stream": _UI_BODY,
}

WITHOUT_EFFECT: dict[str, str] = {
    f"{dialect}:{name}": reason for dialect, fields in _BY_DIALECT.items() for name, reason in fields.items()
}
"""By dialect and field."""

_TARGETS = "the target says which model is asked"
_ALWAYS = "a provider is always asked for a stream that reports usage; what the caller sees is the server's affair"
_IN_JSON = "stands in `json` as well, which is sent"
_BY_ID = "the API ties a result to its call by the id"
_DETECTED = "the API finds out the type by itself"
_LABEL = "a label that the API has no place for: the schema itself is sent"
_ENFORCED = "the API enforces every schema"
_FETCHED = "whoever fetches the URL is told its type"
_WITH_PROOF = "whose proof it is: the proof itself is named"

CARRIED_OTHERWISE: dict[str, str] = {
    "model": _TARGETS,
    "stream": _ALWAYS,
    "include_usage": _ALWAYS,
    "server_tools[]:ServerTool.type": _IN_JSON,
    "messages[].parts[]:OpaquePart.type": _IN_JSON,
    "messages[].parts[]:ToolResultPart.name": _BY_ID,
    "messages[].parts[]:ToolResultPart.kind": "the API has one kind of result, whichever kind of call it answers",
    "messages[].parts[]:ToolCallPart.origin": _WITH_PROOF,
    "messages[].parts[]:ReasoningPart.origin": _WITH_PROOF,
    "messages[].parts[]:ImagePart.source:UrlSource.media_type": _FETCHED,
    "messages[].parts[]:FilePart.source:UrlSource.media_type": _FETCHED,
    "reasoning:ReasoningRequest.adaptive": "false is the same as not asking for it",
    "anthropic:messages[].parts[]:ImagePart.detail": "`auto` is the default; anything else is named",
    "cohere:messages[].parts[]:FilePart.source:DataSource.media_type": "documents are sent as their text",
    "cohere:response_format:ResponseFormat.name": _LABEL,
    "cohere:response_format:ResponseFormat.strict": _ENFORCED,
    "ollama:messages[].parts[]:ImagePart.source:DataSource.media_type": _DETECTED,
    "ollama:messages[].parts[]:ToolResultPart.parts[]:ImagePart.source:DataSource.media_type": _DETECTED,
    "ollama:response_format:ResponseFormat.name": _LABEL,
    "ollama:response_format:ResponseFormat.strict": _ENFORCED,
}
"""By kind and field of the canonical request, or by field for every kind."""
