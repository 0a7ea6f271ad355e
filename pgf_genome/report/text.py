"""Numbers and tables for people, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from pgf_genome.sequence.parts import Near

# keys of run.json that readers understand better in other words
WORDS = {
    "fasta": "sequence",
    "sha256": "SHA-256",
    "sha256_of_bases": "SHA-256 of the bases",
    "seconds": "time",
}
MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 contig``, ``2 contigs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """Write a number with digit groups and a true minus sign."""
    if isinstance(value, int):
        text = f"{value:,}"
    else:
        text = f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.5g}"
    return text.replace("-", MINUS)


def short(value: float | None) -> str:
    """Write a number with three digits, for tables that are compared by eye."""
    return "" if value is None or value != value else _three_digits(value).replace("-", MINUS)


def _three_digits(value: float) -> str:
    if value == 0 or not 1e-4 <= abs(value) < 1e4:
        return f"{value:.3g}"
    return f"{value:#.3g}".removesuffix(".") if abs(value) < 1000 else f"{value:,.0f}"


def amount(key: str, value: float) -> str:
    """Write a number in the unit that its key names: seconds, bytes, or none."""
    if key.endswith("_bytes"):
        power = min(max((int(value).bit_length() - 1) // 10, 0), 4)
        return f"{value / 1024**power:.3g}{NO_BREAK}{('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    if key.endswith("seconds"):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours:,}{NO_BREAK}h {minutes}{NO_BREAK}min"
        return f"{minutes}{NO_BREAK}min {seconds}{NO_BREAK}s" if minutes else f"{value:.3g} s"
    return number(value)


def spoken(key: str) -> str:
    """Write a key of run.json as words."""
    return WORDS.get(key, str(key).removesuffix("_bytes").replace("_", " "))


def in_words(near: Near | None) -> str:
    """Say what lies at a place: a gene and a feature of it, or the bases to the nearest gene."""
    if near is None:
        return ""
    if near.distance:
        return f"{near.name}, {number(abs(near.distance))}{NO_BREAK}{near.kind}"
    return near.name if near.kind == near.name else f"{near.name}, {near.kind}"


def fact(value: Any, key: str = "") -> str:
    """Write a value of run.json as HTML."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return amount(key, value)
    if isinstance(value, list | tuple):
        return ", ".join(fact(item) for item in value) or "none"
    return escape(str(value))


def facts_table(facts: Mapping[str, Any]) -> str:
    """Make a table of names and values, with a row for every value of a nested mapping."""
    rows = "".join(
        f'<tr><th scope="row">{escape(spoken(key))}</th><td>{fact(value, key)}</td></tr>'
        for key, value in flat(facts)
    )
    return f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>'


def flat(facts: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield keys and values; the keys of a nested mapping follow its own key and a colon."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", value


def table(
    head: Iterable[str], rows: Iterable[Iterable[str]], numbers: frozenset[int] = frozenset()
) -> str:
    """Make a table of cells that are HTML already; the columns in ``numbers`` are flush right."""

    def cells(tag: str, row: Iterable[str]) -> str:
        return "".join(
            f'<{tag} class="number">{cell}</{tag}>' if i in numbers else f"<{tag}>{cell}</{tag}>"
            for i, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
