"""The outputs of scored variants: the VCF with INFO fields, and a table of its alleles."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pgf_genome import __version__
from pgf_genome.effects.consequence import FORMAT, Consequence, escaped
from pgf_genome.effects.settings import COMPRESSED, MASKED, TABLES, Scoring, summary_of
from pgf_genome.effects.vcf import (
    CONSEQUENCE,
    EFFECT,
    FLAG,
    GENE,
    MASKED_SCORE,
    MEANINGS,
    TEXT,
    Field,
    Flag,
    Record,
    Vcf,
    with_info,
)
from pgf_genome.files import atomic, discard, quiet_htslib
from pgf_genome.tracks.bedgraph.bgzf import BgzfWriter

log = logging.getLogger("pgf_genome")

Write = Callable[[bytes], object]

COLUMNS = ("contig", "pos", "id", "ref", "alt", "{score}", "flag", "gene", "consequence")
# the last position that a .tbi holds
TBI_LAST = 2**29 - 1


class Allele(NamedTuple):
    """What is known of an alternative allele; the effect of one with a flag has no meaning."""

    effect: float
    flag: Flag
    consequences: Sequence[Consequence] = ()

    @property
    def text(self) -> str:
        """The effect with six digits, "" if there is none."""
        # + 0.0 makes of a negative zero a positive one
        return "" if self.flag else f"{self.effect + 0.0:.6g}"


class Scored(NamedTuple):
    """A record with its alleles, in the order of ALT, and the genes that it overlaps."""

    record: Record
    alleles: Sequence[Allele] = ()
    genes: Sequence[str] = ()


@dataclass(frozen=True)
class Meaning:
    """What the effects of a run are.

    Attributes
    ----------
    model, digest : str
        Name of the model, and the SHA-256 of its weights.
    scoring : Scoring
        How they are computed, with the window of a bidirectional model.
    """

    model: str
    digest: str
    scoring: Scoring

    @property
    def key(self) -> str:
        """The INFO field that holds them."""
        return MASKED_SCORE if self.scoring.score == MASKED else EFFECT

    @property
    def method(self) -> str:
        """How they are computed, in words."""
        near, window = self.scoring.near, self.scoring.window
        if window is not None:
            place = f"window of {window} bases around the change, or the whole sequence"
            if self.scoring.score == MASKED:
                return f"{place}, with the base masked"
            return f"exact: {place}, run with and without it"
        if near is None:
            return "exact: all bases downstream are run again"
        if near <= 1:
            return "first-order in the state behind the change"
        return (
            f"near {near}: {near} bases are run again, the last changed one the first of them; "
            "what follows is first-order in the state"
        )

    @property
    def definition(self) -> str:
        """What they are, in words."""
        finds = "above 0 the model finds ALT more likely"
        if self.scoring.score == MASKED:
            return f"log p of ALT less log p of REF at the masked position, nats; {finds}"
        if self.scoring.window is not None:
            return (
                "Pseudo-log-likelihood of a window of the sequence with ALT minus that with REF, "
                f"nats; {finds}. The same bases stand on either side of REF and of ALT; for an "
                "indel the two sums have as many terms as the two windows have bases"
            )
        return (
            f"Log-likelihood of the sequence with ALT minus that with REF, nats; {finds}. All "
            "bases downstream count; for an indel the two sums have as many terms as the two "
            "sequences have bases"
        )

    def fields(self, with_genes: bool) -> list[Field]:
        """The INFO fields that a VCF is given."""
        flags = "; ".join(f"{flag}: {said}" for flag, said in MEANINGS.items())
        effect = (
            f"{self.definition}. Strand {self.scoring.strand}; {self.method}; model {self.model}, "
            f"sha256 {self.digest}; . where not scored"
        )
        fields = [
            Field(self.key, "A", "Float", effect),
            Field(FLAG, "A", "String", f"Why an allele is not scored, . if it is. {flags}"),
        ]
        if with_genes:
            fields += [
                Field(GENE, ".", "String", "Genes that REF overlaps"),
                Field(CONSEQUENCE, ".", "String", "What ALT does to the coding sequences that it "
                      f"changes. Format: {FORMAT}"),
            ]  # fmt: skip
        return fields


@contextmanager
def text_file(path: str) -> Iterator[Write]:
    """Write to a file that appears when it is complete, bgzip if its name says so, or to ``-``."""
    if path == "-":
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    with atomic(path) as part, part.open("wb") as file:
        if path.endswith(COMPRESSED):
            writer = BgzfWriter(file)
            yield writer.write
            writer.finish()
        else:
            yield file.write


@contextmanager
def vcf_file(path: str, read: Vcf, fields: Sequence[Field]) -> Iterator[Callable[[Scored], None]]:
    """Write a VCF; the yielded function takes records in order.

    Parameters
    ----------
    fields : sequence of Field
        The INFO fields that are added, that of the effects first.
    """
    with text_file(path) as write:
        for line in read.header_with(fields, __version__):
            write(line)

        key = fields[0].key

        def take(scored: Scored) -> None:
            record = scored.record
            write(with_info(record.line, _info(key, scored)) if record.alts else record.line)

        yield take


def _info(key: str, scored: Scored) -> Iterator[tuple[str, str]]:
    alleles, alts = scored.alleles, scored.record.alts
    if alts != (".",):
        yield key, ",".join(allele.text or "." for allele in alleles)
    if any(allele.flag for allele in alleles):
        yield FLAG, ",".join(str(allele.flag) if allele.flag else "." for allele in alleles)
    if scored.genes:
        yield GENE, ",".join(map(escaped, scored.genes))
    told = [each.text(alt) for alt, a in zip(alts, alleles, strict=True) for each in a.consequences]
    if told:
        yield CONSEQUENCE, ",".join(told)


@contextmanager
def tsv_file(path: str, key: str) -> Iterator[Callable[[Scored], None]]:
    """Write a table of alleles, with its columns in the first line; what is not known is empty.

    The column of the effects is named as ``key``, the INFO field that would hold them.
    """
    with text_file(path) as write:
        column = key.removeprefix("PGF_").lower()
        write("\t".join(COLUMNS).format(score=column).encode() + b"\n")

        def take(scored: Scored) -> None:
            if not scored.record.alts:
                return
            contig, position, name, ref, _ = scored.record.line.split(b"\t", 5)[:5]
            genes = ",".join(scored.genes)
            for alt, allele in zip(scored.record.alts, scored.alleles, strict=True):
                flag = str(allele.flag) if allele.flag else ""
                told = ",".join(each.text(alt) for each in allele.consequences)
                rest = "\t".join((alt, allele.text, flag, genes, told)).encode(*TEXT)
                write(b"\t".join((contig, position, name, ref, rest)) + b"\n")

        yield take


def is_table(path: str) -> bool:
    """Whether the name of an output is that of a table."""
    return path.endswith(TABLES)


def withdraw(path: str) -> None:
    """Remove index and summary of an older output, which would not fit the new one."""
    if path == "-":
        return
    for beside in (f"{path}.tbi", f"{path}.csi", summary_of(path)):
        discard(Path(beside))


def index(path: str, last: int) -> None:
    """Write the index of a VCF that is bgzip and sorted: .tbi, or .csi if it has to reach farther.

    Parameters
    ----------
    path : str
    last : int
        The last position of all records, 1-based.

    Raises
    ------
    ResourceError
        If it cannot be written, or tabix takes none of such a file.
    """
    import pysam

    csi = last > TBI_LAST
    with quiet_htslib(), atomic(f"{path}.{'csi' if csi else 'tbi'}") as part:
        pysam.tabix_index(path, preset="vcf", index=str(part), force=True, csi=csi)
