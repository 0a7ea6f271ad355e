"""Options of a training: sizes of the model, data and optimiser, and what `pretrain` is asked for.

The command line reads its defaults and choices here, so nothing heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from pgf_genome.checkpoints.choices import DEFAULT_DEVICE
from pgf_genome.errors import UsageError
from pgf_genome.quantities import GREATEST, finite_number, whole_number

INITIALISATIONS = {
    "mamba": "A = -(1 .. N), step sizes log-uniform in [0.001, 0.1] (Gu and Dao 2023)",
    "s4d-real": "the same poles: S4D-Real is Mamba's default (Gu et al. 2022)",
    "long": "A = -(1 .. N), step sizes log-uniform in [1 / target length, 0.1]",
}
# Poles with imaginary parts (Gu et al. 2022, arXiv 2206.11893, section 4).
COMPLEX = ("s4d-lin", "s4d-inv", "s4d-legs")
BPTT = ("truncated", "full")
MAY_BE_ZERO = ("seed", "n_rate", "weight_decay")
FRACTIONS = ("warmup", "n_rate")


@dataclass(frozen=True)
class Training:
    """Options of a training.

    Attributes
    ----------
    d_model, n_layer, d_state : int
        Sizes; Di = 2 D, K = 4, R = D / 16.
    streams, tile_length : int
        Sequences side by side, and positions per tile.
    walk : int
        Tiles for which a stream stays on one stretch before it jumps to a random place; the whole
        stretch if it has fewer.
    bptt : str
        ``"truncated"``: a step is one tile of every stream; the state is passed on, its gradient
        is not. ``"full"``: a step is one walk of every stream, differentiated exactly from end to
        end.
    bases : int
        Bases seen in all.
    learning_rate, warmup, weight_decay : float
        Options of AdamW; the rate rises linearly over the fraction ``warmup`` of the steps, then
        falls as a cosine.
    n_rate : float
        Fraction of input bases replaced by N, so that the model knows what N means.
    init : str
        One of `INITIALISATIONS`.
    target_length : int
        Bases that the slowest poles of ``init="long"`` span.
    freeze_recurrent : bool
        Whether poles and step-size biases stay as initialised.
    seed : int
    """

    d_model: int = 128
    n_layer: int = 4
    d_state: int = 16
    streams: int = 16
    tile_length: int = 512
    walk: int = 32
    bptt: str = "truncated"
    bases: int = 24_000_000
    learning_rate: float = 4e-3
    warmup: float = 0.03
    weight_decay: float = 0.05
    n_rate: float = 0.002
    init: str = "mamba"
    target_length: int = 131_072
    freeze_recurrent: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in ((each.name, each.type) for each in fields(self)):
            value, positive = getattr(self, name), name not in MAY_BE_ZERO
            below = 1 if name in FRACTIONS else GREATEST
            if kind == "int":
                value = whole_number(value, name, int(positive))
            elif kind == "float":
                value = finite_number(value, name, positive=positive, below=below)
            object.__setattr__(self, name, value)
        if self.init in COMPLEX:
            raise UsageError(
                f"`init` {self.init} has complex poles, and Mamba-1 has a real A; choose "
                f"from {', '.join(INITIALISATIONS)}"
            )
        for name, known in (("init", INITIALISATIONS), ("bptt", BPTT)):
            if getattr(self, name) not in known:
                chosen = getattr(self, name)
                raise UsageError(f"`{name}` {chosen!r}: choose from {', '.join(known)}")

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step among ``steps``."""
        done, warm = (step + 1) / steps, self.warmup
        if done < warm:
            return self.learning_rate * done / warm
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class Job:
    """Arguments of `pretrain`.

    Attributes
    ----------
    fastas : sequence of str
        Genomes.
    directory : Path
        Folder for the model.
    training : Training
    shares : sequence of float
        Relative share of the training bases drawn from each FASTA; by length if empty.
    hold_out : sequence of str
        Regions (samtools syntax; a contig's name is all of it) or BED files never to train on.
    device : str
        ``"cpu"``, ``"cuda[:INDEX]"`` or ``"auto"``.
    restart : bool
        Start anew, even if the directory holds a model or an unfinished training.
    checkpoint_seconds : float
        Time between checkpoints.
    """

    fastas: Sequence[str]
    directory: Path
    training: Training = field(default_factory=Training)
    shares: Sequence[float] = ()
    hold_out: Sequence[str] = ()
    device: str = DEFAULT_DEVICE
    restart: bool = False
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.fastas:
            raise UsageError("pretrain needs at least one FASTA")
        positive = all(0 < share < math.inf for share in self.shares)
        if self.shares and (len(self.shares) != len(self.fastas) or not positive):
            raise UsageError(
                f"`shares` needs one positive number for each of the {len(self.fastas)} FASTA "
                f"files, not {', '.join(f'{s:g}' for s in self.shares)}"
            )
        finite_number(self.checkpoint_seconds, "checkpoint_seconds")
