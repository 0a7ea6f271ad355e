"""What may be asked of ``variants``, for the command line too: nothing heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.errors import UsageError
from pgf_genome.files import require_folder, require_name

STRANDS = ("+", "-", "both")
# Bases that are run again where every base of a genome is substituted.
MUTAGENESIS_NEAR = 8
SCORES = LIKELIHOOD, MASKED = "likelihood", "masked"
# NCBI's number of the code for a CDS that names none, as in GenBank.
STANDARD_CODE = 1
# Ends of the names of outputs that are bgzip, and of those that are tables.
COMPRESSED, TABLES = (".gz", ".bgz"), (".tsv", ".tsv.gz", ".tsv.bgz")


@dataclass(frozen=True)
class Scoring:
    """How variants are scored.

    Attributes
    ----------
    near : int or None
        Bases that are run again, the last changed one the first of them; None for all. The changed
        ones are always run, so that 0 is the same as 1.
    strand : str
        "+", "-" or "both", which is the mean of the two.
    gap_length : int
        The model starts anew after every run of N of at least this length.
    score : str
        "likelihood": that of the sequence with the variant, less that without it. "masked": log p
        of ALT less log p of REF, at the position of an SNV that is masked.
    window : int, optional
        Bases that a bidirectional model sees at a time; None is the context that it was trained on.
        Causal models have none.
    """

    near: int | None = 16
    strand: str = "both"
    gap_length: int = 10_000
    score: str = LIKELIHOOD
    window: int | None = None

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise UsageError(f"`score` {self.score}: choose from {', '.join(SCORES)}")
        if self.window is not None and self.window < 1:
            raise UsageError(f"`window` must be at least 1, not {self.window}")
        if self.near is not None and self.near < 0:
            raise UsageError(f"`near` must be a number of bases, not {self.near}")
        if self.strand not in STRANDS:
            raise UsageError(f"`strand` {self.strand}: choose from {', '.join(STRANDS)}")
        if self.gap_length < 1:
            raise UsageError(f"`gap_length` must be at least 1, not {self.gap_length}")


@dataclass(frozen=True)
class Files:
    """What is read and written beside the sequence.

    Attributes
    ----------
    vcf : str
        Plain, gzip or bgzip; ``"-"`` is standard input.
    output : str
        A VCF, bgzip with an index if the name ends in ``.gz``; a table if it ends in ``.tsv`` or
        ``.tsv.gz``; ``"-"`` is a VCF on standard output.
    tsv : str, optional
        A table of all alleles as well.
    gff : str, optional
        A GFF3 or GTF file, which adds genes and consequences.
    genetic_code : int
        NCBI's number of the code of a CDS for which that file gives none.
    chrom_alias : str, optional
        A table of other names of contigs, which the VCF or the GFF file uses.
    scratch_dir : str, optional
        Folder for temporary files; beside the output if None.
    """

    vcf: str
    output: str
    tsv: str | None = None
    gff: str | None = None
    genetic_code: int = STANDARD_CODE
    chrom_alias: str | None = None
    scratch_dir: str | None = None

    def __post_init__(self) -> None:
        for name, path in self.written.items():
            require_name(path, name)
            if os.path.basename(path) in ("", ".", "..") or os.path.isdir(path):
                raise UsageError(f"`{name}` {path!r} is a folder: add a name for the file")
            if path.endswith(".bcf"):
                raise UsageError(f"`{name}` {path}: BCF is not written; name a .vcf.gz")
            self.require_other(name, path, self.vcf, self.gff, self.chrom_alias)
        if self.tsv is not None and not self.tsv.endswith(TABLES):
            raise UsageError(f"`tsv` {self.tsv}: the name of a table ends in {' or '.join(TABLES)}")
        if self.tsv is not None and os.path.realpath(self.tsv) == os.path.realpath(self.output):
            raise UsageError(f"`output` and `tsv` are the same file, {self.tsv}")

    @staticmethod
    def require_other(name: str, path: str, *read: str | os.PathLike[str] | None) -> None:
        """Raise a UsageError if an output is one of the files that are read."""
        for each in (Path(each) for each in read if each):
            if each.exists() and Path(path).exists() and each.samefile(path):
                raise UsageError(f"`{name}` {path} is a file that is read; choose another name")

    @property
    def outputs(self) -> Sequence[str]:
        """The VCF, the table, or both."""
        return [path for path in (self.output, self.tsv) if path is not None]

    @property
    def written(self) -> dict[str, str]:
        """The files among them, by argument."""
        named = {"output": self.output, "tsv": self.tsv}
        return {name: path for name, path in named.items() if path not in (None, "-")}

    @property
    def summary(self) -> Path | None:
        """``NAME.summary.json`` beside the output; None for standard output."""
        return None if self.output == "-" else summary_of(self.output)

    def require_folders(self) -> Path:
        """Make the folders of the outputs, and return that of temporary files.

        Raises
        ------
        ResourceError
            If no file can be made in one of them.
        """
        for name, path in self.written.items():
            require_folder(Path(path).parent, name)
        folder = Path(self.scratch_dir or Path(self.output).parent)
        require_folder(folder, "scratch_dir")
        return folder


def summary_of(output: str) -> Path:
    """The summary beside an output: ``NAME.summary.json`` for ``NAME.vcf.gz``."""
    name = output
    for suffix in (*COMPRESSED, ".vcf", ".tsv"):
        name = name.removesuffix(suffix)
    return Path(f"{name}.summary.json")
