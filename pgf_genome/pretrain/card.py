"""The model card and the training curve of a pretrained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgf_genome.mamba.model import CausalMamba
from pgf_genome.pretrain.corpus import Corpus
from pgf_genome.pretrain.initial import mixer_sizes
from pgf_genome.pretrain.settings import INITIALISATIONS
from pgf_genome.sequence import Genome

POINTS_ON_THE_CARD = 10


@dataclass(frozen=True)
class Score:
    """Bits per base of a held-out interval on either strand; ``region`` is 1-based inclusive."""

    region: str
    bases: int
    plus: float
    minus: float

    @property
    def mean(self) -> float:
        """Mean of the two strands."""
        return (self.plus + self.minus) / 2


@dataclass(frozen=True)
class Curve:
    """Points (bases seen, seconds, mean training bits since the last, held-out bits by region)."""

    points: list[tuple[int, float, float, Mapping[str, float]]] = field(default_factory=list)


def curve_table(curve: Curve) -> str:
    """The curve as tab-separated text; a held-out score stands only where one was taken."""
    regions = list(dict.fromkeys(name for *_, held_out in curve.points for name in held_out))
    lines = ["\t".join(["bases", "seconds", "training_bits", *regions])]
    for bases, seconds, bits, held_out in curve.points:
        scores = [f"{held_out[name]:.5f}" if name in held_out else "" for name in regions]
        lines.append("\t".join([str(bases), f"{seconds:.1f}", f"{bits:.5f}", *scores]))
    return "\n".join(lines) + "\n"


def card(
    name: str,
    model: CausalMamba,
    corpus: Corpus,
    facts: Mapping[str, Any],
    scores: Sequence[Score],
    curve: Curve,
) -> str:
    """The text of README.md: architecture, data, training, compute, held-out scores, curve."""
    c, m, t = model.config, mixer_sizes(model), corpus.training
    parameters = sum(p.numel() for p in model.parameters())
    rows = {
        "architecture": f"Mamba-1, {c.n_layer} layers, d_model {c.d_model}, d_inner {m.d_inner}, "
        f"d_state {m.d_state}, d_conv {m.d_conv}, dt_rank {m.dt_rank}, tied head; "
        f"{parameters:,} parameters",
        "tokens": " ".join(model.vocabulary.tokens) + ", in this order",
        "training data": "; ".join(_data(corpus)),
        "held out": ", ".join(score.region for score in scores) or "nothing",
        "initialisation": f"{t.init}: {INITIALISATIONS[t.init]}"
        + ("; poles and step-size biases frozen" if t.freeze_recurrent else ""),
        "training": f"{t.bptt} backpropagation through time: {t.streams} streams, tiles of "
        f"{t.tile_length}, {t.walk} tiles a walk, {t.bases:,} bases in {facts['steps']:,} steps, "
        f"both strands; AdamW (0.9, 0.98), weight decay {t.weight_decay:g} on the projections, "
        f"peak rate {t.learning_rate:g}, {100 * t.warmup:g} % warm-up, cosine to 1 %; "
        f"{100 * t.n_rate:g} % of the inputs replaced by N; seed {t.seed}",
        "compute": f"{facts['seconds'] / 60:.1f} minutes on {facts['device']}, "
        f"threads: {facts['threads']}",
    }
    parts = [f"# {name}", "A causal Mamba-1 DNA language model, trained by `pgf-genome pretrain`."]
    parts.append(_table(("", ""), rows.items()))
    if scores:
        parts.append("Held-out bits per base, whole intervals, state carried:")
        held = [(s.region, f"{s.mean:.4f}", f"{s.plus:.4f}", f"{s.minus:.4f}") for s in scores]
        parts.append(_table(("interval", "mean", "plus strand", "minus strand"), held))
    parts.append("Training loss (all points, and held-out scores on the way: training.tsv):")
    every = max(1, len(curve.points) // POINTS_ON_THE_CARD)
    points = [
        (f"{bases:,}", f"{bits:.4f}") for bases, _, bits, _ in curve.points[every - 1 :: every]
    ]
    parts.append(_table(("bases seen", "bits per base"), points))
    return "\n\n".join(parts) + "\n"


def size_of(genome: Genome) -> str:
    """Bases and contigs, for people."""
    count = len(genome.contigs)
    contigs = f"{count} contigs" if count > 1 else "one contig"
    return f"{sum(genome.lengths.values()):,} bases in {contigs}"


def _data(corpus: Corpus) -> list[str]:
    """A clause for every genome."""
    whole = sum(corpus.genomes.values())
    return [
        f"{size_of(genome)} (first: {genome.contigs[0].name}; SHA-256 {genome.digest[:16]}), "
        f"{100 * share / whole:.0f} % of the draws"
        for genome, share in corpus.genomes.items()
    ]


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
