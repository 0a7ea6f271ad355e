"""The colours of tracks, written "R,G,B" as most browsers take them."""

from __future__ import annotations

POSITIVE, NEGATIVE = "31,105,170", "200,80,40"


def as_hex(colour: str) -> str:
    """Write a colour in hexadecimal: ``#1f69aa`` for ``31,105,170``."""
    return "#" + "".join(f"{int(part):02x}" for part in colour.split(","))
