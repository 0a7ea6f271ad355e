"""``pgf-genome inspect``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from pgf_genome.checkpoints.choices import DEFAULT_MODEL
from pgf_genome.cli.common import Command, logged, under
from pgf_genome.cli.values import ModelSource
from pgf_genome.errors import ModelError


@click.command(
    cls=Command,
    short_help="Describe a checkpoint, or say why it is refused.",
    examples=(
        f"pgf-genome inspect {DEFAULT_MODEL}",
        f"pgf-genome inspect {DEFAULT_MODEL} --json",
    ),
)
@click.argument("source", type=ModelSource(folder=True))
@under("What is printed")("--json", "as_json", is_flag=True, help="JSON instead of lines.")
@logged
def inspect(source: str, as_json: bool) -> None:
    """Describe SOURCE, a bundled name, a checkpoint directory or a hub id.

    Prints family, direction, sizes, tied weights, vocabulary and base order, padding rows, trained
    context, parameters and memory; or the reason why the checkpoint cannot be read, with exit
    code 1. Nothing in the directory is executed.
    """
    from pgf_genome.inspection import inspect as facts_of

    try:
        facts = facts_of(source)
    except ModelError as error:
        if as_json:
            click.echo(json.dumps({"source": source, "supported": False, "reason": str(error)}))
        raise
    if as_json:
        click.echo(json.dumps({"source": source, "supported": True} | facts, indent=2))
        return
    for name, value in _lines(facts):
        click.echo(f"{name}\t{value}")


def _lines(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as text; what is not known is left out."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", f"{value:,}" if type(value) is int else str(value)
