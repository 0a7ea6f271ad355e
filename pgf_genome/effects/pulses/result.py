"""What ``impulse`` finds: the responses to some changes, in words and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgf_genome.effects.pulses.profile import Point
from pgf_genome.effects.pulses.rounding import Rounding
from pgf_genome.effects.pulses.settings import TANGENT, Options
from pgf_genome.effects.pulses.trace import Trace
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.sequence import BASES, Genome

# Where the bases lie that respond when a strand is read.
SIDES = {"+": "downstream", "-": "upstream"}
COLUMNS = ("site", "strand", "distance", "contig", "pos", "base", "response", "change")


@dataclass(frozen=True)
class Impulses:
    """The responses to some changes.

    Attributes
    ----------
    fasta : str
        Name of the file.
    genome : Genome
        The contigs with changes.
    model : CausalMamba
    options : Options
    rounding : Rounding
        What the noise floor is taken from.
    traces : sequence of Trace
        Change by change; those of both strands next to each other, upstream first.
    """

    fasta: str
    genome: Genome
    model: CausalMamba
    options: Options
    rounding: Rounding
    traces: Sequence[Trace]

    @property
    def unit(self) -> str:
        """The unit of all values."""
        return "nats, to first order" if self.options.kind == TANGENT else "nats"

    def lines(self) -> Iterator[str]:
        """Say in a line for each trace how large the response is and how far it can be seen."""
        for trace in self.traces:
            profile, side = trace.profile, SIDES[trace.strand.sign]
            if profile.largest is None:
                yield f"{trace.change.title}: nothing {side} responds"
                continue
            seen = (
                f"above the noise floor of {self.rounding.floor:.2g} for {profile.above:,} bases, "
                f"the furthest {_bases(profile.furthest)} {side}"
                if profile.furthest
                else f"nowhere above the noise floor of {self.rounding.floor:.2g}"
            )
            yield (
                f"{trace.change.title}: largest response {profile.largest.response:.3g} nats, "
                f"{_bases(profile.largest)} {side}; {seen}"
            )

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the table of responses above the noise floor, the furthest first, and its head."""
        yield COLUMNS
        for trace in self.traces:
            site, strand = trace.change.site, trace.strand
            for point in trace.profile.table():
                own = trace.position + point.distance
                start, stop = strand.in_contig((own, own + 1))
                base = BASES[int(self.genome.codes(site.contig, start, stop)[0])]
                yield (
                    *(str(site), strand.sign, str(point.distance), site.contig, str(stop), base),
                    *(f"{value:.6g}" for value in (point.response, point.change)),
                )


def _bases(point: Point) -> str:
    return f"{point.distance:,} base{'' if point.distance == 1 else 's'}"
