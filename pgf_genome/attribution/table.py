"""The values of all tracks as one table: a row for every base."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pgf_genome.files import atomic, quiet_htslib
from pgf_genome.sequence import BASES, Genome
from pgf_genome.tracks.bedgraph.bgzf import BgzfWriter

COLUMNS = ("#contig", "position", "base")


def write_table(
    path: Path,
    tracks: Iterable[str],
    pieces: Iterable[tuple[str, int, np.ndarray]],
    genome: Genome,
) -> None:
    """Write a tab-separated table, bgzip with a tabix index.

    Its columns are contig, position (1-based), base, and the value of every track, as the shortest
    text that gives the same float32. A base without any value has no row.

    Parameters
    ----------
    pieces : iterable of (str, int, ndarray of float32)
        Contig, 0-based start and values (tracks, n), in the order of the contigs.

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    import pysam

    with atomic(path) as part, part.open("wb") as file:
        writer = BgzfWriter(file)
        writer.write("\t".join((*COLUMNS, *tracks)).encode() + b"\n")
        for contig, start, values in pieces:
            (scored,) = np.nonzero(~np.isnan(values).all(axis=0))
            codes = genome.codes(contig, start, start + values.shape[1])[scored]
            columns = {0: contig, 1: start + scored + 1, 2: np.array(list(BASES))[codes]}
            rows = pd.DataFrame(columns | {3 + i: each[scored] for i, each in enumerate(values)})
            writer.write(rows.to_csv(sep="\t", header=False, index=False).encode())
        writer.finish()
    with quiet_htslib(), atomic(f"{path}.tbi") as part:
        pysam.tabix_index(str(path), seq_col=0, start_col=1, end_col=1, index=str(part), force=True)
