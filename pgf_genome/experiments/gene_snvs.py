"""Single-nucleotide substitutions in genes, and what each of them does to the protein."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from pgf_genome.effects.by_contig import Variant
from pgf_genome.experiments.genes import PLACES, Gene, code_of
from pgf_genome.sequence import BASES, complement

SYNONYMOUS, MISSENSE, STOP_GAINED, STOP_LOST, START_LOST = range(5)
KINDS = ("synonymous", "missense", "stop-gained", "stop-lost", "start-lost")


@dataclass(frozen=True, eq=False)
class Snvs:
    """A set of n substitutions.

    Attributes
    ----------
    position : ndarray of int64, (n,)
        Positions, 0-based on the plus strand of the sequence.
    alt : ndarray of uint8, (n,)
        Code of the new base, on the plus strand.
    kind : ndarray of int64, (n,)
        Index into `KINDS`.
    gene : ndarray of int64, (n,)
        Index of the gene.
    """

    position: np.ndarray
    alt: np.ndarray
    kind: np.ndarray
    gene: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def variants(self, codes: np.ndarray) -> list[Variant]:
        """The same as letters; ``codes`` is the sequence, (L,)."""
        old, new = codes[self.position], self.alt
        rows = zip(self.position.tolist(), old.tolist(), new.tolist(), strict=True)
        return [Variant(t, BASES[ref], BASES[alt]) for t, ref, alt in rows]

    def at(self, chosen: np.ndarray) -> Self:
        """Select by an index or mask."""
        return type(self)(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join several sets."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def substitutions(gene: Gene, codes: np.ndarray, index: int = 0) -> Snvs:
    """List every substitution in a whole gene, three per base, in the order of its positions.

    A start codon that becomes another start codon of the table, and a stop codon that becomes
    another one, are synonymous.

    Parameters
    ----------
    gene : Gene
    codes : ndarray of uint8, (L,)
        Codes of the contig, or of the stretch that the gene's positions refer to.
    index : int
        Index of the gene in the result.
    """
    bases, code = gene.bases(codes).astype(np.int64), code_of(gene.table)
    codon = np.repeat(bases.reshape(-1, 3) @ PLACES, 3)  # of every base
    alt = (bases[:, None] + np.arange(1, 4)) % 4  # (n, 3)
    place = np.tile(PLACES, len(bases) // 3)
    mutant = codon[:, None] + (alt - bases[:, None]) * place[:, None]
    before, after = code.amino[codon][:, None], code.amino[mutant]
    kind = np.where(before == after, SYNONYMOUS, MISSENSE)
    kind[(before != "*") & (after == "*")] = STOP_GAINED
    kind[(before == "*") & (after != "*")] = STOP_LOST
    kind[:3] = np.where(code.start[mutant[:3]], SYNONYMOUS, START_LOST)
    on_plus = alt.astype(np.uint8) if gene.strand == "+" else complement(alt.astype(np.uint8))
    return Snvs(
        np.repeat(gene.positions, 3).astype(np.int64),
        on_plus.ravel(),
        kind.ravel(),
        np.full(kind.size, index),
    )
