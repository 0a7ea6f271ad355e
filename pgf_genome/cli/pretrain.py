"""``pgf-genome pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.common import logged, with_device, with_threads
from pgf_genome.cli.values import Numbers


@click.command(short_help="Train a Mamba model on whole genomes.")
@click.argument("fastas", nargs=-1, required=True, metavar="FASTA..")
@click.option("-o", "--out", required=True, metavar="DIR", help="Folder for the model.")
@click.option("--hold-out", multiple=True, metavar="REGION|BED", help="Never train on this, but "
              "score it: chrXVI, chr1:1,000,001-, or a BED file; repeatable.")  # fmt: skip
@click.option("--share", "shares", type=Numbers(float), metavar="X,..", help="Relative shares of "
              "the bases drawn from each FASTA [by length].")  # fmt: skip
@click.option("--bases", type=int, help="Bases to train on in all, both strands [24000000].")
@click.option("--layers", "n_layer", type=int, help="Number of layers [4].")
@click.option("--d-model", type=int, help="Width of the residual stream [128].")
@click.option("--d-state", type=int, help="States per channel [16].")
@click.option("--bptt", help="Backpropagation through time. truncated: the gradient ends at the "
              "tile, the state goes on; full: the gradient is exact over every walk, in constant "
              "memory [truncated].")  # fmt: skip
@click.option("--streams", type=int, help="Sequences trained on side by side [16].")
@click.option("--tile", "tile_length", type=int, help="Bases per tile [512].")
@click.option("--walk", type=int, help="Tiles for which a stream stays on one stretch; the whole "
              "stretch if it has fewer [32].")  # fmt: skip
@click.option("--learning-rate", type=float, help="Peak learning rate [0.004].")
@click.option("--warmup", type=float, help="Fraction of the steps in which the learning rate "
              "rises [0.03].")  # fmt: skip
@click.option("--weight-decay", type=float, help="Weight decay of the projections [0.05].")
@click.option("--n-rate", type=float, help="Fraction of inputs replaced by N [0.002].")
@click.option("--init", help="Initialisation: mamba, s4d-real (the same poles) or long (step sizes "
              "down to 1 / target length). Complex spectra (s4d-lin, s4d-inv) are refused, because "
              "Mamba's poles are real [mamba].")  # fmt: skip
@click.option("--target-length", type=int, help="Bases that --init long spans [131072].")
@click.option("--freeze-recurrent", is_flag=True, help="Do not train poles and step-size biases.")
@click.option("--seed", type=int, help="Seed of all random draws [0].")
@click.option("--checkpoint", "checkpoint_seconds", type=float, default=60, show_default=True,
              metavar="SECONDS", help="Time between checkpoints.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Start anew, even if DIR holds a model or an "
              "unfinished training.")  # fmt: skip
@with_threads
@with_device
@logged
def pretrain(
    fastas: tuple[str, ...],
    out: str,
    hold_out: tuple[str, ...],
    shares: tuple[float, ...] | None,
    checkpoint_seconds: float,
    restart: bool,
    device: str,
    threads: int,
    **options: Any,
) -> None:
    """Train a causal Mamba-1 language model of single bases on the genomes in FASTA..

    Several streams walk along both strands and carry their state from tile to tile. Run the same
    command again to continue after an interruption: the weights will be those of an uninterrupted
    run.

    \b
    Writes
      DIR/model.safetensors, config.json, tokenizer files   for -m DIR, and for transformers
      DIR/README.md        model card: data, settings, held-out bits per base
      DIR/training.tsv     training and held-out bits per base along the way
      DIR/training.json    all settings and scores
    """
    process.tune()
    import torch

    from pgf_genome.cli.progress import Progress
    from pgf_genome.pretrain import Training
    from pgf_genome.pretrain.run import Job
    from pgf_genome.pretrain.run import pretrain as run

    torch.set_num_threads(threads)
    training = Training(**{name: value for name, value in options.items() if value is not None})
    job = Job(
        fastas, Path(out), training, shares or (), hold_out, device, restart, checkpoint_seconds
    )
    with Progress() as progress:
        directory = run(job, progress)
    click.echo(directory)
