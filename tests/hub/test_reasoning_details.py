from proxy.hub.reasoning_details import ENCRYPTED, SUMMARY, TEXT, ReasoningDetail, proof, restored

SIGNED = ReasoningDetail(TEXT, text="why", signature="s", format="anthropic-claude-v1", index=2, span=(0, 3))


def test_a_proof_is_the_detail_without_its_text_and_place() -> None:
    assert proof(SIGNED) == '{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1","index":2}'


def test_a_detail_comes_back_with_its_text() -> None:
    assert restored(proof(SIGNED), "why") == ReasoningDetail(
        TEXT, text="why", signature="s", format="anthropic-claude-v1", index=2
    )
    summary = ReasoningDetail(SUMMARY, summary="why", id="rs_1")
    assert restored(proof(summary), "why") == summary
    closed = ReasoningDetail(ENCRYPTED, data="opaque", id="rs_1", format="openai-responses-v1")
    assert restored(proof(closed), "") == closed


def test_other_words_are_no_proof() -> None:
    assert restored("EqUDCkYICxgCKkDN", "why") is None
    assert restored("{}", "why") is None


def test_what_is_shown_is_text_or_summary() -> None:
    assert [SIGNED.shown, ReasoningDetail(SUMMARY, summary="s").shown, ReasoningDetail(ENCRYPTED).shown] == [
        "why",
        "s",
        "",
    ]
