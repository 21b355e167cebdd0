"""Fields of answers that change nothing for the caller, and why. Keys are globs of `kind:field` and of `dialect:field`."""

_FIXED = "says what kind of object this is, which the API's shape says as well"
_TIMES = "the provider's clock: of no answer's content"
_COST = "what the answer cost: nobody else's API has a place for it"
_DERIVED = "the sum or the rest of counts that are read"
_ECHO = "repeats the request"
_GATEWAY = "how a gateway chose its provider"
_FILTER = "how near to being filtered an answer was: what was filtered is said by the reason to end"
_PROBABILITIES = "probabilities are not asked for by a converted request, and have no event"
_WORDS = "the reason in words: the reason itself is read"

NOT_READ: dict[str, str] = {
    "*:role": _FIXED,
    "*.role": _FIXED,
    "*:type": _FIXED,
    "*:object": _FIXED,
    "*.type": _FIXED,
    "*:created*": _TIMES,
    "*:completed_at": _TIMES,
    "*_duration": _TIMES,
    "gemini:createTime": _TIMES,
    "bedrock:metrics.latencyMs": _TIMES,
    "openai_chat:usage.*_time": _TIMES,
    "ollama:done": "a whole answer is done",
    "openai_responses:status": "`completed`; what failed or is incomplete is said by `error` and `incomplete_details`",
    "*:usage*.totalTokens": _DERIVED,
    "*.total*okens": _DERIVED,
    "*.totalTokenCount": _DERIVED,
    "openai_responses:usage.total_tokens": _DERIVED,
    "openai_chat:usage.prompt_cache_miss_tokens": _DERIVED,
    "openai_chat:usage.num_cached_tokens": "Mistral tells it in `prompt_tokens_details` as well",
    "gemini:usageMetadata.*Details[].*": "counts by kind of content: the sums are read",
    "openai_chat:usage.prompt_tokens_details.*_tokens": "counts by kind of content: the sums are read",
    "gemini:usageMetadata.trafficType": "how the capacity was bought",
    "cohere:usage.billed_units.*": "what was billed, which is less than what was read",
    "anthropic:usage.inference_geo": "where the model ran",
    "openai_chat:usage.*cost*": _COST,
    "bedrock:usage.pydantic_ai_gateway.*": _COST,
    "openai_chat:usage.server_tool_use_details.*": _COST,
    "openai_chat:usage.search_context_size": _ECHO,
    "openai_chat:system_fingerprint": "of the provider's build",
    "openai_chat:x_groq.*": "of the provider's build",
    "openai_chat:choices[].seed": "of the provider's build",
    "openai_chat:choices[].message.tool_calls[].index": "calls stand in their order",
    "openai_chat:choices[].message.provider_metadata.*": _GATEWAY,
    "openai_chat:provider": _GATEWAY,
    "openai_chat:generationId": _GATEWAY,
    "openai_chat:choices[].native_finish_reason": _WORDS,
    "gemini:candidates[].finishMessage": _WORDS,
    "openai_chat:*content_filter_results.*": _FILTER,
    "gemini:candidates[].avgLogprobs": _PROBABILITIES,
    "gemini:candidates[].logprobsResult.*": _PROBABILITIES,
    "*logprobs*": _PROBABILITIES,
    "openai_chat:search_results[].*": "of a source whose address and title are read",
    **{
        f"openai_responses:{name}": _ECHO
        for name in (
            *("background", "billing.*", "include*", "instructions*", "max_output_tokens", "max_tool_calls"),
            *("metadata.*", "moderation*", "parallel_tool_calls", "previous_response_id", "prompt_cache*"),
            *("reasoning.*", "safety_identifier", "store", "temperature", "text.*", "tool_choice*", "tools[].*"),
            *("tool_usage*", "top_logprobs", "top_p", "truncation", "user", "frequency_penalty", "presence_penalty"),
        )
    },
}
"""Fields that no decoder reads."""

_OWN_ID = "an answer that was converted has the proxy's own id"
_RAW_REASON = "the reason's word in another API; `reason` is told"
_TIER = "tiers have other names in other APIs"
_MAKER = "whose bytes or item it is: only its own family asks"
_PROOF = "this dialect has no field to give a proof back in"
_NO_SOURCES = "no field for sources"
_NO_PLACE = "sources have no place in the text"
_NO_COUNT = "no field for this count"
_SERVER_TOOL = "a call that the provider ran itself would be run again: it and its result are not shown"
_STORED_ID = "the id in another provider's store"
_TEXT_ALONE = "text alone: nothing else has a place"

_EVERYWHERE: dict[str, str] = {
    "end.raw_reason": _RAW_REASON,
    "usage.service_tier": _TIER,
    "blocks[].block:ToolCallBlock.origin": _MAKER,
    "blocks[].block:ToolResultBlock.origin": _MAKER,
    "blocks[].block:ToolResultBlock.type": _MAKER,
    "blocks[].block:RedactedReasoningBlock.id": _STORED_ID,
}

_BY_DIALECT: dict[str, dict[str, str]] = {
    "ag_ui": {"id": _OWN_ID, "blocks[].block:ToolCallBlock.kind": "free text and JSON are both a text here"},
    "anthropic": {
        "blocks[].citations[].start": _NO_PLACE,
        "blocks[].citations[].end": _NO_PLACE,
        "blocks[].block:ToolResultBlock.*": _SERVER_TOOL,
    },
    "canonical": {
        "id": _OWN_ID,
        "blocks[].block:RedactedReasoningBlock.*": _PROOF,
        "blocks[].signature.*": _PROOF,
    },
    "data_stream": {
        "id": _OWN_ID,
        "model": "no field for the model",
        "end.reason": "a whole message is the message alone",
        "usage.cached_input": _NO_COUNT,
        "usage.cache_write": _NO_COUNT,
        "usage.reasoning": _NO_COUNT,
        "blocks[].citations[].*": "sources have an address and a title",
        "blocks[].signature.*": "version 4 has no field beside a call for its proof",
    },
    "gemini": {
        "id": _OWN_ID,
        "usage.cache_write": _NO_COUNT,
        "blocks[].citations[].cited_text": "the text of the answer is what is cited",
        "blocks[].block:ToolResultBlock.*": _SERVER_TOOL,
    },
    "ollama": {
        "id": _OWN_ID,
        "usage.*": _NO_COUNT,
        "blocks[].block:RedactedReasoningBlock.*": _PROOF,
        "blocks[].signature.*": _PROOF,
        "blocks[].citations[].*": _NO_SOURCES,
        "blocks[].block:ToolResultBlock.*": _SERVER_TOOL,
    },
    "openai_chat": {"id": _OWN_ID, "blocks[].block:ToolResultBlock.*": _SERVER_TOOL},
    "openai_responses": {
        "id": _OWN_ID,
        "blocks[].citations[].cited_text": "the text of the answer is what is cited",
        "blocks[].block:ToolResultBlock.*": _SERVER_TOOL,
    },
    "text_stream": {"*": _TEXT_ALONE},
    "ui_message_stream": {"id": _OWN_ID},
}

NOT_TOLD: dict[str, str] = {
    **{f"*:{name}": reason for name, reason in _EVERYWHERE.items()},
    **{f"{dialect}:{name}": reason for dialect, names in _BY_DIALECT.items() for name, reason in names.items()},
}
"""Parts of an answer that a dialect cannot say."""
