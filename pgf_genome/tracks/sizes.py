"""Table of contig lengths, which genome browsers need beside a track."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pgf_genome.files import atomic_write_text


def write_chrom_sizes(path: str | os.PathLike[str], sizes: Mapping[str, int]) -> None:
    """Write ``name<TAB>length`` lines in the order of ``sizes`` (FASTA order).

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    atomic_write_text(path, "".join(f"{name}\t{length}\n" for name, length in sizes.items()))
