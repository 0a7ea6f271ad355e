"""``pgf-genome verify``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from pgf_genome import process
from pgf_genome.cli.common import Command, logged, require_passed, under, with_device, with_threads
from pgf_genome.cli.values import FilePath, ModelSource, RunPrefix
from pgf_genome.errors import UsageError

if TYPE_CHECKING:
    from pgf_genome.runs.certificate import Certificate

checked, printed = under("What is checked"), under("What is printed")


@click.command(
    cls=Command,
    short_help="Check a finished run, or a checkpoint.",
    examples=(
        "pgf-genome verify out/chr1",
        "pgf-genome verify out/chr1 --fasta chr1.fa.gz --json",
        "pgf-genome verify --model ecoli-yeast-d128",
    ),
)
@click.argument("prefix", type=RunPrefix(), required=False)
@checked("-m", "--model", type=ModelSource(folder=True), metavar="MODEL", help="The run's model "
         "[the one that run.json names]; without PREFIX, the checkpoint to check.")  # fmt: skip
@checked("--fasta", type=FilePath(), help="The run's sequence [the path that the run read].")
@checked("--recorded", type=FilePath(), help="JSON of hidden states recorded by other software, "
         "for a checkpoint that is among them.")  # fmt: skip
@printed("--json", "as_json", is_flag=True, help="JSON instead of lines.")
@with_threads
@with_device
@logged
def verify(
    prefix: str | None,
    model: str | None,
    fasta: str | None,
    recorded: str | None,
    as_json: bool,
    threads: int,
    device: str,
) -> None:
    """Check the finished run PREFIX at places drawn from it, or a checkpoint by itself.

    Derivatives are compared with central differences, with autograd and in float64; states with
    those of a replay; effects with sequences that are changed and run; the values in the files with
    values computed again, and files, indexes and zoom levels with each other. The certificate is
    printed, kept in PREFIX.run.json, and marks the report. Exit code 1 if an item failed.

    Without PREFIX, --model MODEL compares logits and gradients of a checkpoint with those of
    transformers where it has the model, with --recorded where it holds the model, and else with
    the equations of this program, one position after the other.
    """
    process.tune()
    if prefix is None and model is None:
        raise click.UsageError("give the prefix of a finished run, or --model alone")
    if prefix is None and fasta is not None:
        raise UsageError("`fasta` is the sequence of a run: give its prefix, or leave it out")
    if prefix is not None and recorded is not None:
        raise UsageError("`recorded` goes with `model` alone: leave the prefix out")
    import torch

    torch.set_num_threads(threads)
    if prefix is None:
        from pgf_genome.verification.checkpoint import verify_model

        _print(verify_model(str(model), recorded, device=device), as_json, str(model))
    else:
        from pgf_genome.verification.finished import verify

        found = verify(prefix, model, fasta, device=device, threads=threads)
        _print(found, as_json, os.fspath(prefix))


def _print(certificate: Certificate, as_json: bool, where: str) -> None:
    from pgf_genome.runs.schema import encoded

    if as_json:
        click.echo(json.dumps({"passed": certificate.passed} | encoded(certificate), indent=2))
    else:
        for check in certificate.checks:
            value = "" if check.value is None else f"{check.value:.3g}"
            most = "" if check.passed is None else f"{check.tolerance:.3g}"
            click.echo("\t".join([check.name, check.verdict, value, most, check.detail]))
    require_passed(certificate, where)
