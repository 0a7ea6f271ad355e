"""``pgf-genome pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.common import RUNNING, Command, logged, under, with_device, with_threads
from pgf_genome.cli.values import FilePath, Numbers, Word
from pgf_genome.files import require_folder
from pgf_genome.pretrain.settings import BPTT, INITIALISATIONS, Job, Training

data, model, steps = under("Data"), under("Model"), under("Training")
running = under(RUNNING)


@click.command(
    cls=Command,
    short_help="Train a Mamba model on whole genomes.",
    examples=(
        "pgf-genome pretrain ecoli.fa.gz -o my-model",
        "pgf-genome pretrain ecoli.fa.gz yeast.fa.gz -o two-species --hold-out chrXVI --share 1,2",
        "pgf-genome pretrain chr1.fa -o long --init long --bptt full --bases 100000000 -t 8",
    ),
)
@click.argument("fastas", type=FilePath(), nargs=-1, required=True, metavar="FASTA..")
@data("--hold-out", type=FilePath(), multiple=True, metavar="REGION|BED",
      help="Never train on this, but score it: chrXVI, chr1:1,000,001-, or a BED file; "
      "repeatable.")  # fmt: skip
@data("--share", "shares", type=Numbers(float), help="Relative shares of the bases drawn from "
      "each FASTA [by length].")  # fmt: skip
@data("--bases", type=int, default=Training.bases, show_default=True,
      help="Bases to train on in all, both strands.")  # fmt: skip
@data("--n-rate", type=float, default=Training.n_rate, show_default=True,
      help="Fraction of inputs replaced by N.")  # fmt: skip
@model("--layers", "n_layer", type=int, default=Training.n_layer, show_default=True,
       help="Number of layers.")  # fmt: skip
@model("--d-model", type=int, default=Training.d_model, show_default=True,
       help="Width of the residual stream.")  # fmt: skip
@model("--d-state", type=int, default=Training.d_state, show_default=True,
       help="States per channel.")  # fmt: skip
@model("--init", type=Word(list(INITIALISATIONS)), default=Training.init, show_default=True,
       help="Initialisation: mamba, s4d-real (the same poles) or long (step sizes down to 1 / "
       "target length). Complex spectra (s4d-lin, s4d-inv) are refused, because Mamba's poles are "
       "real.")  # fmt: skip
@model("--target-length", type=int, metavar="BASES", default=Training.target_length,
       show_default=True, help="Bases that --init long spans.")  # fmt: skip
@model("--freeze-recurrent", is_flag=True, help="Do not train poles and step-size biases.")
@steps("--bptt", type=click.Choice(BPTT), default=Training.bptt, show_default=True,
       help="Backpropagation through time. truncated: the gradient ends at the tile, the state "
       "goes on; full: the gradient is exact over every walk, in constant memory.")  # fmt: skip
@steps("--streams", type=int, default=Training.streams, show_default=True,
       help="Sequences trained on side by side.")  # fmt: skip
@steps("--tile", "tile_length", type=int, metavar="BASES", default=Training.tile_length,
       show_default=True, help="Bases per tile.")  # fmt: skip
@steps("--walk", type=int, metavar="TILES", default=Training.walk, show_default=True,
       help="Tiles for which a stream stays on one stretch; the whole stretch if it has "
       "fewer.")  # fmt: skip
@steps("--learning-rate", type=float, default=Training.learning_rate, show_default=True,
       help="Peak learning rate.")  # fmt: skip
@steps("--warmup", type=float, default=Training.warmup, show_default=True,
       help="Fraction of the steps in which the learning rate rises.")  # fmt: skip
@steps("--weight-decay", type=float, default=Training.weight_decay, show_default=True,
       help="Weight decay of the projections.")  # fmt: skip
@steps("--seed", type=int, default=Training.seed, show_default=True,
       help="Seed of all random draws.")  # fmt: skip
@running("-o", "--out", "directory", type=FilePath(folder=True), required=True, metavar="DIR",
         help="Folder for the model.")  # fmt: skip
@running("--checkpoint", "checkpoint_seconds", type=float, default=Job.checkpoint_seconds,
         show_default=True, metavar="SECONDS", help="Time between checkpoints.")  # fmt: skip
@running("--restart", is_flag=True, help="Start anew, even if DIR holds a model or an unfinished "
         "training.")  # fmt: skip
@with_threads
@with_device
@logged
def pretrain(
    fastas: tuple[str, ...],
    directory: str,
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
    training, place = Training(**options), Path(directory)
    job = Job(fastas, place, training, shares or (), hold_out, device, restart, checkpoint_seconds)
    require_folder(place, "directory")
    import torch

    from pgf_genome.cli.progress import Progress
    from pgf_genome.pretrain import run

    torch.set_num_threads(threads)
    with Progress() as progress:
        click.echo(run.pretrain(job, progress))
