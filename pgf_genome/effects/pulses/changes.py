"""The changes that sites stand for, checked against the sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Site, Span
from pgf_genome.sequence import BASES, N_CODE, Genome, segments


@dataclass(frozen=True)
class Change:
    """One base in place of another.

    Attributes
    ----------
    site : Site
        With ``ref`` and ``alt``.
    segment : (int, int)
        The stretch between assembly gaps in which it lies, 0-based half-open.
    """

    site: Site
    segment: Span

    @property
    def name(self) -> str:
        """The name in files: ``chr1-1001-A-G``, with odd characters of the contig as ``%7C``."""
        site = self.site
        return f"{quote(site.contig, safe='+')}-{site.position + 1}-{site.ref}-{site.alt}"

    @property
    def title(self) -> str:
        """The name in texts: ``chr1:1,001 A>G``."""
        return f"{self.site.contig}:{self.site.position + 1:,} {self.site.ref}>{self.site.alt}"

    @property
    def codes(self) -> tuple[int, int]:
        """The base that is there and the one in its place, as 0 .. 3."""
        return BASES.index(self.site.ref), BASES.index(self.site.alt)


def changes_of(genome: Genome, sites: Iterable[Site], gap_length: int) -> list[Change]:
    """Find the base and the segment of every site; one that names no change stands for three.

    Raises
    ------
    SequenceError
        If a site lies outside of its contig or on N, if another base is there than it says, or if
        it is no substitution of one base by another.
    """
    found: list[Change] = []
    spans: dict[str, list[Span]] = {}
    for site in sites:
        observed = _base(genome, site)
        _check(site, observed)
        if site.contig not in spans:
            spans[site.contig] = segments(genome, site.contig, gap_length)
        # the base is not N, so it lies in a segment
        span = next(s for s in spans[site.contig] if s[0] <= site.position < s[1])
        others = [site.alt] if site.alt else [base for base in BASES if base != observed]
        named = (Site(site.contig, site.position, observed, other) for other in others)
        found += [Change(each, span) for each in named]
    return list(dict.fromkeys(found))


def _base(genome: Genome, site: Site) -> str:
    length = genome.contig(site.contig).length
    if site.position >= length:
        raise SequenceError(
            f"`at` {site}: outside of {site.contig}, which has {length:,} bases; positions are "
            "1-based"
        )
    code = int(genome.codes(site.contig, site.position, site.position + 1)[0])
    if code == N_CODE:
        raise SequenceError(f"`at` {site}: the FASTA has N there; choose one of A, C, G, T")
    return BASES[code]


def _check(site: Site, observed: str) -> None:
    """Raise SequenceError for what is no substitution of the observed base."""
    named = (site.ref, site.alt) if site.ref or site.alt else ()
    if any(len(letters) != 1 or letters not in BASES for letters in named):
        raise SequenceError(
            f"`at` {site}: {site.ref}>{site.alt} is not one base of A, C, G, T in place of another"
        )
    if named and site.ref != observed:
        raise SequenceError(
            f"`at` {site}: the FASTA has {observed} there, not {site.ref}; is it another assembly, "
            "or the other strand?"
        )
    if named and site.alt == observed:
        raise SequenceError(f"`at` {site}: {site.alt} is what is there; name another base")
