"""A diagnosis as a table for people and as JSON for programs. Neither has a key in it."""

from collections.abc import Iterator

import msgspec

from proxy.doctor.checks import Diagnosis
from proxy.doctor.judge import Finding, Level
from proxy.doctor.remedies import REMEDIES, Ailment, Front

_WORDS = {Level.OK: "ok", Level.NOTE: "note", Level.PROBLEM: "PROBLEM"}


def as_json(diagnosis: Diagnosis) -> bytes:
    """Everything, remedies of all fronts included; one line."""
    findings = [
        {
            "check": finding.check,
            "level": finding.level,
            "summary": finding.summary,
            "ailment": finding.ailment,
            "measured": finding.measured,
            "remedies": REMEDIES[finding.ailment] if finding.ailment is not None else {},
        }
        for finding in diagnosis.findings
    ]
    whole = {
        "url": diagnosis.url,
        "server": diagnosis.server,
        "front": diagnosis.front,
        "tls": diagnosis.tls,
        "healthy": diagnosis.is_healthy,
        "findings": findings,
    }
    return msgspec.json.encode(whole) + b"\n"


def as_text(diagnosis: Diagnosis) -> str:
    """The table, and what to change where something is wrong."""
    return "\n".join(_lines(diagnosis)) + "\n"


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    about = [f"answers as {diagnosis.server}"] if diagnosis.server else []
    if diagnosis.tls is not None:
        about.append(f"{diagnosis.tls.version}, certificate until {diagnosis.tls.expires}")
        about.append("HTTP/2 offered" if diagnosis.tls.alpn == "h2" else "no HTTP/2")
    yield f"{diagnosis.url}  {'; '.join(about)}".rstrip()
    yield ""
    width = max(len(finding.check) for finding in diagnosis.findings)
    for finding in diagnosis.findings:
        yield f"  {_WORDS[finding.level]:<8} {finding.check:<{width}}  {finding.summary}"
    yield ""
    problems = [finding for finding in diagnosis.findings if finding.ailment is not None]
    if not problems:
        yield "Nothing in front does harm to streams."
        return
    yield "What to change"
    for ailment in dict.fromkeys(finding.ailment for finding in problems if finding.ailment is not None):
        yield from _remedy(ailment, problems, diagnosis.front)


def _remedy(ailment: Ailment, problems: list[Finding], front: Front | None) -> Iterator[str]:
    yield f"  {', '.join(problem.check for problem in problems if problem.ailment is ailment)}"
    for name, text in REMEDIES[ailment].items():
        if front is None or name is front:
            yield f"    {name:<8} {text}"
