"""Regions of a genome, come to by one sweep over each segment for all that lie in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from torch import Tensor

from pgf_genome.effects.dependency import Approach, approaches
from pgf_genome.effects.depmap.settings import LONGEST
from pgf_genome.effects.strand import Strand, signs_of
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.spool import StoredStates
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import Interval, Span, parse_region, read_bed
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.sequence import Genome, segments

# Work that has been done, in forward passes of one base, and work in all.
Progress = Callable[[float, float], object]


def regions_of(genome: Genome, regions: Sequence[str], beds: Sequence[str]) -> list[Interval]:
    """Read regions in their order, each once, contig by contig.

    Raises
    ------
    SequenceError
        If one is not within the genome.
    UsageError
        If one is too long for a map.
    """
    lengths = genome.lengths
    given = [parse_region(text, lengths) for text in regions]
    given += [interval for path in beds for interval in read_bed(path, lengths)]
    for each in given:
        if len(each) > LONGEST:
            raise UsageError(
                f"region {each}: a map of {len(each):,} bases has {len(each) ** 2:,} cells; choose "
                f"regions of at most {LONGEST:,} bases"
            )
    rank = {name: i for i, name in enumerate(lengths)}
    return sorted(dict.fromkeys(given), key=lambda each: rank[each.contig])


class Approached:
    """Regions one after the other, each as the strands come to it.

    Parameters
    ----------
    model : CausalMamba
    genome : Genome
    regions : sequence of Interval
        Those of a contig next to each other.
    strand : "+", "-" or "both"
    gap_length : int
        The model starts anew after every run of N of at least this length.
    scratch : Path
        A folder for the states before the regions.
    threads : int, optional
        Threads in all; torch's count if None.
    progress : callable, optional

    Raises
    ------
    SequenceError
        If a region reaches into an assembly gap.
    """

    def __init__(
        self,
        model: CausalMamba,
        genome: Genome,
        regions: Sequence[Interval],
        strand: str,
        gap_length: int,
        scratch: Path,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._model, self._genome = model, genome
        self._scratch, self._threads = scratch, threads
        self._signs = signs_of(strand)
        self._by_segment = list(_by_segment(genome, regions, gap_length))
        self._progress, self._lock = progress, Lock()
        self._work = sum(
            self._sweep(segment, spans, sign) + sum(3 * (b - a) ** 2 / 2 for a, b in spans)
            for _, segment, spans in self._by_segment
            for sign in self._signs
        )

    def __iter__(self) -> Iterator[tuple[Interval, list[Approach]]]:
        for contig, segment, spans in self._by_segment:
            plus = self._strand(contig, segment)
            with ExitStack() as stack:
                stored = dict(zip(self._signs, self._states(plus, spans, stack), strict=True))
                for k, (start, stop) in enumerate(spans):
                    came = [
                        self._approach(plus, sign, (start, stop), stored[sign], k)
                        for sign in self._signs
                    ]
                    interval = Interval(contig, segment[0] + start, segment[0] + stop)
                    yield interval, came

    def advance(self, done: float) -> None:
        """Tell of work that is done, on a map too, in any thread."""
        if self._progress is not None:
            with self._lock:
                self._progress(done, self._work)

    def _strand(self, contig: str, segment: Span) -> Strand:
        vocabulary = self._model.vocabulary

        def read(start: int, stop: int) -> Tensor:
            codes = self._genome.codes(contig, segment[0] + start, segment[0] + stop)
            return self._model.one_hot(vocabulary.encode(codes[None]))

        return Strand(self._model, read, segment[1] - segment[0], Likelihood())

    def _states(self, plus: Strand, spans: Sequence[Span], stack: ExitStack) -> list[StoredStates]:
        """Sweep the strands side by side, and keep the state before every region on disk."""
        blank = self._model.initial_state(1)

        def of_strand(sign: str) -> StoredStates:
            path = self._scratch / f"states{sign}"
            path.unlink(missing_ok=True)
            states = StoredStates(path, blank, f"depmap {sign}")
            order = sorted(range(len(spans)), key=lambda k: _first(plus.length, spans[k], sign))
            came = approaches(
                plus, sign, [spans[k] for k in order], threads=self._threads, progress=self.advance
            )
            for k, approach in zip(order, came, strict=True):
                states[k + 1] = approach.state  # 0 is the blank state
            return states

        return [
            stack.enter_context(each)
            for each in side_by_side(of_strand, self._signs, self._threads)
        ]

    @staticmethod
    def _approach(plus: Strand, sign: str, span: Span, states: StoredStates, k: int) -> Approach:
        strand, first = plus if sign == "+" else plus.reverse(), _first(plus.length, span, sign)
        return Approach(sign, strand.read(first, first + span[1] - span[0]), states[k + 1])

    @staticmethod
    def _sweep(segment: Span, spans: Sequence[Span], sign: str) -> int:
        """Bases that are read before the last region."""
        return max(_first(segment[1] - segment[0], span, sign) for span in spans)


def _first(length: int, span: Span, sign: str) -> int:
    """Bases that a strand reads before a region."""
    return span[0] if sign == "+" else length - span[1]


def _by_segment(
    genome: Genome, regions: Sequence[Interval], gap_length: int
) -> Iterator[tuple[str, Span, list[Span]]]:
    """Contig, segment, and the regions in it from the segment's start, in their order."""
    for contig in dict.fromkeys(each.contig for each in regions):
        spans = segments(genome, contig, gap_length)
        inside: dict[Span, list[Span]] = {}
        for each in (r for r in regions if r.contig == contig):
            home = next((s for s in spans if s[0] <= each.start and each.stop <= s[1]), None)
            if home is None:
                raise SequenceError(
                    f"region {each} reaches into an assembly gap (a run of at least {gap_length:,} "
                    "N, `gap_length`); choose a region on one side of it"
                )
            inside.setdefault(home, []).append((each.start - home[0], each.stop - home[0]))
        for segment, found in inside.items():
            yield contig, segment, found
