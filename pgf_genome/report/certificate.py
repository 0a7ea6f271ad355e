"""The certificate of a run on its page."""

from __future__ import annotations

from html import escape
from pathlib import Path

from pgf_genome.errors import IntegrityError
from pgf_genome.files import atomic_write_text
from pgf_genome.report.text import short, table
from pgf_genome.runs.certificate import Certificate, Check

# What stands around the place of a certificate on a page, there to be found again.
BEGIN, END = "<!-- certificate -->", "<!-- /certificate -->"


def certificate_section(certificate: Certificate | None) -> str:
    """Make the section of a certificate; without one only its place."""
    return f"{BEGIN}{_section(certificate) if certificate else ''}{END}"


def mark_report(path: Path, certificate: Certificate) -> None:
    """Put a certificate on a page in place of the one that is there.

    Raises
    ------
    IntegrityError
        If the page has no place for it.
    ResourceError
        If the page cannot be written.
    """
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise IntegrityError(f"{path}: no report of this version; draw it again with report")
    atomic_write_text(path, before + certificate_section(certificate) + after)


def _section(certificate: Certificate) -> str:
    rows = [_row(check) for check in certificate.checks]
    head = ["Item", "Result", "Value", "Tolerance", "What was compared"]
    kind, opened = ("", "") if certificate.passed else (" failed", " open")
    return (
        f'<section aria-labelledby="h-certificate" class="certificate{kind}">'
        '<h2 id="h-certificate">Certificate</h2>'
        f"<details{opened}><summary>{escape(str(certificate))}</summary>"
        f"{table(head, rows, frozenset((2, 3)))}</details></section>"
    )


def _row(check: Check) -> list[str]:
    measured = check.passed is not None
    verdict = escape(check.verdict)
    return [
        escape(check.name),
        f"<strong>{verdict}</strong>" if check.passed is False else verdict,
        short(check.value) if measured else "",
        short(check.tolerance) if measured else "",
        escape(check.detail),
    ]
