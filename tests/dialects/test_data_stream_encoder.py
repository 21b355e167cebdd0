from hypothesis import given

from proxy.dialects.base import StreamContext
from proxy.dialects.data_stream_encoder import FINISH_REASON, DataStreamEncoder
from proxy.hub.carried import Carried, pack
from proxy.hub.errors import ErrorKind
from proxy.hub.events import (
    ArgumentsDelta,
    BlockEnd,
    BlockStart,
    CitationAdded,
    Event,
    FinishReason,
    MediaBlock,
    MessageEnd,
    MessageStart,
    Origin,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoningBlock,
    RefusalBlock,
    RefusalDelta,
    SignatureAdded,
    StreamError,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolKind,
    ToolResultBlock,
    Usage,
)
from tests.dialects.test_ui_message_stream_encoder import around, unique
from tests.support.dialect_grammar import breaches
from tests.support.strategies import event_lists

CONTEXT = StreamContext(id="abc", model="m", created=1)
START = MessageStart("provider-id", "m-1")
STOP = MessageEnd(FinishReason.STOP)
FIRST = 'f:{"messageId":"msg_abc"}\n'
LAST = 'e:{"finishReason":"stop","isContinued":false}\nd:{"finishReason":"stop"}\n'


def encode(*events: Event) -> str:
    return DataStreamEncoder(CONTEXT).encode(list(events)).decode()


def test_text_is_one_line_a_delta() -> None:
    text = [BlockStart(0, TextBlock()), TextDelta(0, 'Hel "\n🌍'), BlockEnd(0)]
    usage = '"usage":{"promptTokens":12,"completionTokens":null}'

    assert encode(START, *text, Usage(input=12), STOP) == (
        FIRST + '0:"Hel \\"\\n🌍"\n'
        f'e:{{"finishReason":"stop",{usage},"isContinued":false}}\n'
        f'd:{{"finishReason":"stop",{usage}}}\n'
    )


def test_reasoning_and_its_proofs() -> None:
    assert encode(
        START,
        BlockStart(0, ReasoningBlock()),
        ReasoningDelta(0, "Hm."),
        SignatureAdded(0, "s", Origin.ANTHROPIC),
        BlockEnd(0),
        *around(1, RedactedReasoningBlock("r", Origin.ANTHROPIC)),
        STOP,
    ) == (FIRST + 'g:"Hm."\nj:{"signature":"s"}\ni:{"data":"r"}\n' + LAST)


def test_proof_without_text_of_another_family() -> None:
    packed = pack(Carried(Origin.GEMINI, "s"))

    assert encode(START, BlockStart(0, ReasoningBlock()), SignatureAdded(0, "s", Origin.GEMINI), BlockEnd(0), STOP) == (
        FIRST + f'g:""\nj:{{"signature":"{packed}"}}\n' + LAST
    )


def test_a_calls_proof_is_closed_reasoning_and_the_providers_own_call_has_none() -> None:
    packed = pack(Carried(Origin.GEMINI, "s", "c1"))
    own, server = ToolCallBlock("c1", "f"), ToolCallBlock("s1", "w", ToolKind.SERVER)

    assert encode(
        START,
        BlockStart(0, own),
        ArgumentsDelta(0, "{}"),
        SignatureAdded(0, "s", Origin.GEMINI),
        BlockEnd(0),
        BlockStart(1, server),
        SignatureAdded(1, "t", Origin.GEMINI),
        BlockEnd(1),
        STOP,
    ) == (
        FIRST + 'b:{"toolCallId":"c1","toolName":"f"}\nc:{"toolCallId":"c1","argsTextDelta":"{}"}\n'
        '9:{"toolCallId":"c1","toolName":"f","args":{}}\n'
        f'i:{{"data":"{packed}"}}\n' + LAST
    )


def test_second_reasoning_begins_a_step_of_its_own() -> None:
    blocks = [event for index in (0, 1) for event in around(index, ReasoningBlock())]

    assert encode(START, *blocks, STOP) == (FIRST + 'e:{"finishReason":"unknown","isContinued":false}\n' + FIRST + LAST)


def test_parallel_calls_arrive_as_they_come_and_end_whole() -> None:
    assert encode(
        START,
        BlockStart(0, ToolCallBlock("a", "f")),
        BlockStart(1, ToolCallBlock("b", "g", ToolKind.CUSTOM)),
        ArgumentsDelta(0, '{"x":'),
        ArgumentsDelta(1, "ls"),
        ArgumentsDelta(0, "1}"),
        BlockEnd(1),
        BlockEnd(0),
        MessageEnd(FinishReason.TOOL_CALLS),
    ) == (
        FIRST + 'b:{"toolCallId":"a","toolName":"f"}\n'
        'b:{"toolCallId":"b","toolName":"g"}\n'
        'c:{"toolCallId":"a","argsTextDelta":"{\\"x\\":"}\n'
        'c:{"toolCallId":"b","argsTextDelta":"ls"}\n'
        'c:{"toolCallId":"a","argsTextDelta":"1}"}\n'
        '9:{"toolCallId":"b","toolName":"g","args":{"input":"ls"}}\n'
        '9:{"toolCallId":"a","toolName":"f","args":{"x":1}}\n'
        'e:{"finishReason":"tool-calls","isContinued":false}\n'
        'd:{"finishReason":"tool-calls"}\n'
    )


def test_arguments_that_are_no_json_stay_a_partial_call() -> None:
    call = [BlockStart(0, ToolCallBlock("a", "f")), ArgumentsDelta(0, '{"x":'), BlockEnd(0)]

    assert "\n9:" not in encode(START, *call, MessageEnd(FinishReason.LENGTH))


def test_tools_of_the_provider_are_shown_with_their_results_or_not_at_all() -> None:
    calls = [event for index, id in enumerate("st") for event in around(index, ToolCallBlock(id, "w", ToolKind.SERVER))]
    results = [
        *around(2, ToolResultBlock("s", "[\n1]", Origin.ANTHROPIC, "t")),
        *around(3, ToolResultBlock("unknown", "2", Origin.ANTHROPIC, "t")),
    ]

    assert encode(START, *calls, *results, STOP) == (
        FIRST + 'b:{"toolCallId":"s","toolName":"w"}\n'
        '9:{"toolCallId":"s","toolName":"w","args":{}}\n'
        'a:{"toolCallId":"s","result":[1]}\n' + LAST
    )


def test_sources_and_files() -> None:
    assert encode(
        START,
        BlockStart(0, TextBlock()),
        CitationAdded(0, url="u", title="T"),
        CitationAdded(0, title="no address"),
        BlockEnd(0),
        *around(1, MediaBlock("image/png", data="aGk=")),
        *around(2, MediaBlock("image/png", url="v")),
        STOP,
    ) == (
        FIRST + 'h:{"sourceType":"url","id":"source-1","url":"u","title":"T"}\n'
        'k:{"data":"aGk=","mimeType":"image/png"}\n'
        'h:{"sourceType":"url","id":"source-2","url":"v"}\n' + LAST
    )


def test_refusal_is_text_of_a_filtered_answer() -> None:
    seen = encode(START, BlockStart(0, RefusalBlock()), RefusalDelta(0, "No."), BlockEnd(0), STOP)

    assert '0:"No."\n' in seen
    assert seen.endswith('d:{"finishReason":"content-filter"}\n')


def test_error_is_the_last_line() -> None:
    error = StreamError(ErrorKind.CUT, 'C"ut')

    assert encode(error) == '3:"C\\"ut"\n'
    assert encode(START, BlockStart(0, TextBlock()), TextDelta(0, "Pa"), error) == FIRST + '0:"Pa"\n3:"C\\"ut"\n'


def test_every_reason_has_a_word() -> None:
    assert set(FINISH_REASON) == set(FinishReason)


def test_heartbeat_is_no_data() -> None:
    assert DataStreamEncoder(CONTEXT).heartbeat() == b"2:[]\n"


@given(event_lists())
def test_every_stream_is_what_the_client_accepts(events: list[Event]) -> None:
    assert breaches("data_stream", DataStreamEncoder(CONTEXT).encode(unique(events))) == []
