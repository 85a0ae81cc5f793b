"""`twin doctor`: is this machine fit, and if not, what to do. The checks themselves are in `twin_core.runtime.doctor`."""

from __future__ import annotations

from rich.text import Text

from twin_cli import output
from twin_core.runtime.doctor import Finding, Level, examine
from twin_core.settings import settings

STYLES: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: output.AsJson = False) -> None:
    """Check this machine and say for everything that is wrong what to do about it. Ends with 1 if something fails."""
    findings = list(examine(settings()))
    if as_json:
        output.show_json(findings)
    else:
        output.show_rows(("", "what", "found", "what to do"), [_row(finding) for finding in findings])
        output.show(_summary(findings))
    if any(finding.level == "fail" for finding in findings):
        output.finish(output.PARTLY)


def _row(finding: Finding) -> tuple[object, ...]:
    return Text(finding.level, style=STYLES[finding.level]), finding.subject, finding.found, finding.advice


def _summary(findings: list[Finding]) -> str:
    fails = sum(finding.level == "fail" for finding in findings)
    warns = sum(finding.level == "warn" for finding in findings)
    if not fails and not warns:
        return "All is well."
    return f"{fails} to mend, {warns} to know about."
