"""Values of streams that change nothing for the caller, and why. Keys are globs of `kind:field` and `dialect:event.field`;
`(other events)`: another value makes more events, fewer, or events of other types."""

_TIMES = "the provider's clock: of no answer's content"
_PADDING = "padding against eavesdroppers"
_COST = "what the answer cost: nobody else's API has a place for it"
_DERIVED = "the sum or the rest of counts that are read"
_KINDS = "counts by kind of content, or of what the provider ran: the sums are read"
_GATEWAY = "how a gateway chose its provider"
_BUILD = "of the provider's build"
_SPEED = "how fast the provider was"
_FILTER = "how near to being filtered an answer was: what was filtered is said by the reason to end"
_ECHO = "repeats the request"
_REPEATED = "repeats what the stream has said piece by piece, or says after it"
_BEGUN = "what stands in it at the beginning is told by what follows"
_PROBABILITIES = "a converted request does not ask for probabilities: `x-proxy-dropped` names them"
_OWN_ONLY = "a detail for those who ask the same API again: its own callers get it in `raw`"
_WORDS = "the reason in words: the reason itself is read"
_WHERE = "`output_index` says it as well"
_PHASE = "which message is the last word: no other API tells them apart"
_STORED_ID = "the id in another provider's store"
_DETAIL = "of a detail without a proof: its text is what is carried"
_PLACE = "where the model ran"
_SOURCE = "of a source that has been named: its address or title is read"

_BY_KIND: dict[str, dict[str, str]] = {
    "anthropic": {
        "*.usage.inference_geo": _PLACE,
        "message_start.message.usage.output_tokens": _BEGUN,
        "content_block_start.content_block.caller.tool_id": _OWN_ONLY,
        "content_block_delta.delta.citation.*_char_index": _OWN_ONLY,
        "content_block_delta.delta.citation.encrypted_index": _OWN_ONLY,
        "message_delta.usage.iterations[].*": _KINDS,
        "message_delta.usage.server_tool_use.*": _KINDS,
        "message_delta.delta.container.*": _OWN_ONLY,
    },
    "bedrock": {
        "*.p": _PADDING,
        "metadata.metrics.latencyMs": _TIMES,
        "metadata.usage.totalTokens": _DERIVED,
        "metadata.usage.cacheReadInputTokenCount": "an older name of a count that is read",
        "metadata.trace.guardrail.*": _FILTER,
        "contentBlockStart.start.toolResult.status": "only `error` is read: any other word is none",
    },
    "cohere": {
        "message-end.delta.usage.billed_units.*": "what was billed, which is less than what was read",
        "citation-start.delta.message.citations.text": _REPEATED,
        "citation-start.delta.message.citations.sources[].document.*": _SOURCE,
        "citation-start.delta.message.citations.sources[].tool_output.*": _SOURCE,
    },
    "gemini": {
        "usageMetadata.totalTokenCount": _DERIVED,
        "usageMetadata.*Details[].*": _KINDS,
        "usageMetadata.trafficType": "how the capacity was bought",
        "createTime": _TIMES,
        "candidates[].finishMessage": _WORDS,
        "candidates[].groundingMetadata.groundingChunks[].retrievedContext.*": _SOURCE,
        "candidates[].groundingMetadata.searchEntryPoint.renderedContent": _OWN_ONLY,
        "candidates[].groundingMetadata.webSearchQueries[]": _OWN_ONLY,
    },
    "ollama": {
        "done": "the reason to end is read",
        "*_duration": _TIMES,
        "created_at": _TIMES,
    },
    "openai_chat": {
        "created": _TIMES,
        "created_at": _TIMES,
        "obfuscation": _PADDING,
        "p": _PADDING,
        "model_id": "watsonx tells it in `model` as well",
        "model_version": _BUILD,
        "system_fingerprint": _BUILD,
        "system.warnings[].*": "what watsonx says of every model's licence",
        "x_groq.id": _BUILD,
        "x_groq.seed": _BUILD,
        "x_groq.usage.*": "repeats `usage`",
        "latency_checkpoint.*": _SPEED,
        "sla_metrics.*": _SPEED,
        "timings.*": _SPEED,
        "usage.*_time": _SPEED,
        "usage.*_ms": _SPEED,
        "usage.*_per_second": _SPEED,
        "usage.*cost*": _COST,
        "usage.prompt_cache_*_tokens": _DERIVED,
        "usage.prompt_tokens_details.text_tokens": _KINDS,
        "usage.search_context_size": _ECHO,
        "stream_options.include_usage": _ECHO,
        "provider": _GATEWAY,
        "generationId": _GATEWAY,
        "choices[].delta.provider_metadata.*": _GATEWAY,
        "choices[].native_finish_reason": _WORDS,
        "choices[].content_filter_results.*": _FILTER,
        "prompt_filter_results[].content_filter_results.*": _FILTER,
        "moderation.*": _FILTER,
        "choices[].delta.channel": "which of its channels an open model speaks in: that of reasoning is read by its field",
        "choices[].delta.content[].closed": "whether a piece of Mistral's reasoning is its last",
        "choices[].message.content": "Perplexity repeats the answer so far in every chunk",
        "search_results[].*": _SOURCE,
    },
    "openai_responses": {
        "*.obfuscation": _PADDING,
        "*.item_id": _WHERE,
        "*.logprobs[].*": _PROBABILITIES,
        "response.created.response.*": _BEGUN,
        "response.in_progress.response.*": _BEGUN,
        "response.queued.response.*": _BEGUN,
        "response.output_item.added.item.status": "an item that has begun is not whole",
        "response.output_item.added.item.phase": _PHASE,
        "response.output_item.added.item.container_id": _STORED_ID,
        "response.output_item.added.item.server_label": _OWN_ONLY,
        "response.output_item.added.item.encrypted_content": "the whole one comes with `response.output_item.done`",
        "response.output_item.done.item.call_id": _REPEATED,
        "response.output_item.done.item.name": _REPEATED,
        "response.output_item.done.item.id": "ties an item to the provider's store; that of reasoning is kept",
        "response.output_item.done.item.status": "of an item that is whole",
        "response.output_item.done.item.phase": _PHASE,
        "response.output_item.done.item.server_label": _OWN_ONLY,
        "response.output_item.done.item.content[].annotations[].*": _REPEATED,
        "response.content_part.done.part.annotations[].*": _REPEATED,
        "response.output_text.annotation.added.annotation.file_id": "of a source whose name is read",
        "response.*.response.output[].*": _REPEATED,
        "response.*.response.content_filters[].*": _FILTER,
        "response.*.response.moderation.*": _FILTER,
        "response.*.response.usage.cost*": _COST,
        "response.*.response.usage.total_tokens": _DERIVED,
        "response.completed.copilot_usage.*": _COST,
        "response.*.response.created_at": _TIMES,
        "response.*.response.completed_at": _TIMES,
        "response.*.response.id": _REPEATED,
        "response.*.response.model": _REPEATED,
        "response.*.response.status": "said by the event's name",
        **{
            f"response.*.response.{name}": _ECHO
            for name in (
                *("background", "instructions", "max_output_tokens", "parallel_tool_calls", "prompt_cache_retention"),
                *("reasoning.*", "safety_identifier", "store", "temperature", "text.*", "tool_choice", "tools[].*"),
                *("top_p", "truncation"),
            )
        },
    },
}

NOT_READ: dict[str, str] = {f"{kind}:{name}": why for kind, rows in _BY_KIND.items() for name, why in rows.items()}
"""Fields that no decoder reads."""

NOT_ALWAYS_READ: dict[str, str] = {
    "anthropic:message_start.message.usage.input_tokens": _BEGUN,
    "cohere:citation-start.delta.message.citations.sources[].id": "of a source that has a title",
    "openai_chat:usage.total_tokens": "the sum of counts that are read, where they are given",
    "openai_chat:choices[].delta.reasoning": "where `reasoning_details` or `reasoning_content` says the same",
    "openai_chat:choices[].delta.reasoning_content": "where `reasoning_details` says the same",
    "openai_chat:choices[].delta.reasoning_details[].format": _DETAIL,
    "openai_chat:choices[].delta.reasoning_details[].id": _DETAIL,
    "openai_responses:response.output_item.added.item.id": "ties an item to the provider's store; that of reasoning is kept",
    "openai_responses:response.output_item.done.item.content[].text": _REPEATED,
}
"""Fields that are read only where they say something new."""


_OWN_ID = "an answer that was converted has the proxy's own id"
_NO_MODEL = "no field for the model: the header `x-proxy-model` names it"
_TIER = "tiers have other names in other APIs, or no field"
_STOP = "no field for the sequence at which the answer was stopped"
_PROOF = "this dialect has no field to give a proof back in"
_NO_COUNT = "no field for this count"
_NO_SOURCES = "no field for sources"
_NO_PLACE = "no field for the place in the text"
_NO_ADDRESS = "of a source without an address or a name, which has no field"
_CITED = "the text of the answer is what is cited"
_SERVER_TOOL = "a call that the provider ran itself would be run again: it and its result are not shown"
_NO_RESULT = "of a call that the provider ran itself, whose result is not in this answer"


_EVERYWHERE: dict[str, str] = {
    "MessageStart.id": _OWN_ID,
    "MessageEnd.stop_sequence": _STOP,
    "BlockStart.block:ReasoningBlock.id": _STORED_ID,
}
_NEVER: dict[str, dict[str, str]] = {
    "ag_ui": {"Usage.service_tier": _TIER},
    "anthropic": {
        "Usage.service_tier": _TIER,
        "BlockStart.block:ToolResultBlock.*": _SERVER_TOOL,
        "CitationAdded.start": _NO_PLACE,
        "CitationAdded.end": _NO_PLACE,
    },
    "canonical": {
        "MessageStart.model": _NO_MODEL,
        "BlockStart.block:RedactedReasoningBlock.*": _PROOF,
        "SignatureAdded.signature": _PROOF,
    },
    "data_stream": {
        "MessageStart.model": _NO_MODEL,
        "Usage.service_tier": _TIER,
        "Usage.cached_input": _NO_COUNT,
        "Usage.reasoning": _NO_COUNT,
        "CitationAdded.cited_text": _CITED,
        "CitationAdded.start": _NO_PLACE,
        "CitationAdded.end": _NO_PLACE,
    },
    "gemini": {"BlockStart.block:ToolResultBlock.*": _SERVER_TOOL},
    "ollama": {
        "Usage.service_tier": _TIER,
        "Usage.cached_input": _NO_COUNT,
        "Usage.reasoning": _NO_COUNT,
        "BlockStart.block:ToolResultBlock.*": _SERVER_TOOL,
        "BlockStart.block:RedactedReasoningBlock.*": _PROOF,
        "CitationAdded.*": _NO_SOURCES,
        "SignatureAdded.signature": _PROOF,
    },
    "openai_chat": {"BlockStart.block:ToolResultBlock.*": _SERVER_TOOL},
    "openai_responses": {
        "CitationAdded.cited_text": _CITED,
        "CitationAdded.end": "a source without an address is a file, cited at one place",
    },
    "text_stream": {"*": "text alone: nothing else has a place"},
    "ui_message_stream": {"Usage.service_tier": _TIER},
}
NOT_TOLD: dict[str, str] = {
    **{f"*:{name}": why for name, why in _EVERYWHERE.items()},
    **{f"{dialect}:{name}": why for dialect, rows in _NEVER.items() for name, why in rows.items()},
}
"""Fields of events that a dialect's stream cannot say."""

_CALLS_OF_OTHERS: dict[str, str] = {
    "ArgumentsDelta.json": _SERVER_TOOL,
    "BlockStart.block:ToolCallBlock.*": _SERVER_TOOL,
    "(other events)": _SERVER_TOOL,
}
_SOMETIMES: dict[str, dict[str, str]] = {
    "ag_ui": {"ArgumentsDelta.json": _NO_RESULT},
    "anthropic": _CALLS_OF_OTHERS,
    "data_stream": {
        "ArgumentsDelta.json": _NO_RESULT,
        "CitationAdded.title": _NO_ADDRESS,
    },
    "gemini": {**_CALLS_OF_OTHERS, "CitationAdded.cited_text": _CITED},
    "ollama": {**_CALLS_OF_OTHERS, "(other events)": _NO_SOURCES},
    "openai_chat": {**_CALLS_OF_OTHERS, "CitationAdded.*": _NO_ADDRESS, "Usage.service_tier": _TIER},
    "openai_responses": {
        "BlockStart.block:ToolResultBlock.content": "a search has no field for its results",
        "Usage.service_tier": _TIER,
    },
    "text_stream": {"(other events)": "text alone: nothing else has a place"},
}
NOT_ALWAYS_TOLD: dict[str, str] = {
    f"{dialect}:{name}": why for dialect, rows in _SOMETIMES.items() for name, why in rows.items()
}
"""Fields of events that a dialect's stream says of some blocks only."""
