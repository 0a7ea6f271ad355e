"""What may be asked of ``depmap``, for the command line too: nothing heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.effects.settings import STRANDS
from pgf_genome.errors import UsageError
from pgf_genome.files import output_prefix, require_folder
from pgf_genome.quantities import whole_number

DEFINITIONS = ("logodds-max", "jacobian-inf", "frobenius-apc")
# The map of a longer region has more cells than most machines have room for.
LONGEST = 16_384


@dataclass(frozen=True)
class Settings:
    """How maps are computed, and what is written of them.

    Attributes
    ----------
    definition : str
        One of `DEFINITIONS`.
    first_order : bool
        Derivatives in the place of changes.
    strand : str
        "+", "-" or "both".
    gap_length : int
        The model starts anew after every run of N of at least this length.
    blocks : bool
        Write all changes of log p, 16 numbers for each cell, as well.
    pairs : int
        Strongest pairs of each region that are written.
    min_distance : int
        Bases that the two of a pair are apart, at least.
    report : bool
        Write a page with heat maps.
    """

    definition: str = DEFINITIONS[0]
    first_order: bool = False
    strand: str = "both"
    gap_length: int = 10_000
    blocks: bool = False
    pairs: int = 200
    min_distance: int = 4
    report: bool = True

    def __post_init__(self) -> None:
        for name, known in (("definition", DEFINITIONS), ("strand", STRANDS)):
            if getattr(self, name) not in known:
                raise UsageError(f"`{name}` {getattr(self, name)}: choose from {', '.join(known)}")
        for name, least in (("gap_length", 1), ("pairs", 0), ("min_distance", 1)):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, least))


@dataclass(frozen=True)
class Files:
    """What is read and written beside the sequence.

    Attributes
    ----------
    out_prefix : str
        Prefix of the outputs.
    region, bed : sequence of str
        Regions, and BED files of regions; at least one of either.
    gff : str, optional
        A GFF3 or GTF file, for the genes in the heat maps.
    chrom_alias : str, optional
        A table of other names of contigs, which the GFF file uses.
    scratch_dir : str, optional
        Folder for temporary files; that of the outputs if None.
    """

    out_prefix: str
    region: Sequence[str] = ()
    bed: Sequence[str] = ()
    gff: str | None = None
    chrom_alias: str | None = None
    scratch_dir: str | None = None

    def __post_init__(self) -> None:
        if not self.region and not self.bed:
            raise UsageError("nothing to map: give a `region`, or a BED file (`bed`) of regions")

    def path(self, name: str) -> Path:
        """The output of a name: ``PREFIX.depmap.json`` for ``json``."""
        return Path(f"{os.fspath(self.out_prefix)}.depmap.{name}")

    def require_folders(self) -> Path:
        """Make the folders of the outputs, and return that of temporary files.

        Raises
        ------
        UsageError
            If the prefix is a folder.
        ResourceError
            If no file can be made in one of them.
        """
        folder = output_prefix(self.out_prefix).parent
        if self.scratch_dir is None:
            return folder
        require_folder(Path(self.scratch_dir), "scratch_dir")
        return Path(self.scratch_dir)
