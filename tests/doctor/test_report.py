import json

from proxy.doctor.checks import Diagnosis
from proxy.doctor.conversation import TlsSeen
from proxy.doctor.judge import Finding, Level
from proxy.doctor.remedies import Ailment, Front
from proxy.doctor.report import as_json, as_text

GOOD = Finding("framing", Level.OK, "HTTP/1.1, chunked", None, {"http_version": "1.1"})
NOTED = Finding("100 Continue", Level.NOTE, "never came")
CUT = Finding("silence", Level.PROBLEM, "cut after 5.0 s", Ailment.IDLE_CUT, {"longest_quiet_s": 5.0})
CUT_FIRST = Finding("silence at first", Level.PROBLEM, "504", Ailment.IDLE_CUT)
TLS = TlsSeen("TLSv1.3", "h2", "Jun  1 12:00:00 2027 GMT")


def diagnosis(*findings: Finding, front: Front | None = None, tls: TlsSeen | None = None) -> Diagnosis:
    return Diagnosis("http://a.example", front, "nginx/1.22" if front else "", tls, list(findings))


def test_table_says_what_to_change_for_the_front_that_was_seen() -> None:
    text = as_text(diagnosis(GOOD, CUT, CUT_FIRST, front=Front.NGINX))

    assert "PROBLEM  silence " in text and "proxy_read_timeout 24h;" in text
    assert text.count("proxy_read_timeout") == 1 and "HAProxy" not in text
    assert "silence, silence at first" in text


def test_table_says_it_for_every_front_when_none_was_seen() -> None:
    text = as_text(diagnosis(CUT))

    assert all(front in text for front in Front)


def test_table_of_a_healthy_way() -> None:
    text = as_text(diagnosis(GOOD, NOTED, tls=TLS))

    assert "Nothing in front does harm" in text and "What to change" not in text
    assert "TLSv1.3" in text and "HTTP/2 offered" in text and "2027" in text


def test_json_has_everything_for_programs() -> None:
    answer = json.loads(as_json(diagnosis(GOOD, CUT, tls=TLS)))

    assert (answer["healthy"], answer["url"], answer["tls"]["alpn"]) == (False, "http://a.example", "h2")
    assert [found["level"] for found in answer["findings"]] == ["ok", "problem"]
    assert answer["findings"][0]["remedies"] == {} and answer["findings"][1]["measured"] == {"longest_quiet_s": 5.0}
    assert set(answer["findings"][1]["remedies"]) == set(Front)


def test_notes_do_no_harm() -> None:
    assert json.loads(as_json(diagnosis(NOTED)))["healthy"] is True
