"""Arrays of regions for motif discovery, as TF-MoDISco-lite and Fi-NeMo read them.

There is a row for every region as it was given, those that overlap others too: the bases in
one-hot form and the hypothetical contributions, see `pgf_genome.attribution.methods`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from pgf_genome.errors import UsageError
from pgf_genome.files import atomic, naming
from pgf_genome.intervals import Stranded
from pgf_genome.sequence import BASES, Genome

# The arrays of numbers by base.
_DTYPES = {"sequences": np.int8, "hypothetical": np.float32}

# What the file holds, in words.
ARRAYS = (
    "rows are the regions as given; sequences are one-hot, (n, 4, w), hypothetical is what the "
    "method gives for each of A, C, G, T less their mean, (n, 4, w), both 0 at N and reverse "
    "complements where strand is -; start and end are 0-based half-open"
)


def require_alike(regions: Sequence[Stranded], contigs: Collection[str]) -> None:
    """Check that regions can be rows of one array.

    Parameters
    ----------
    regions : sequence of Stranded
    contigs : collection of str
        Contigs that are read.

    Raises
    ------
    UsageError
        If two differ in width, or one lies on a contig that is not read.
    """
    first = regions[0].interval
    for each in regions:
        if each.interval.length != first.length:
            raise UsageError(
                f"`formats` npz needs regions of one width: {first} has {first.length:,} bases, "
                f"{each.interval} has {each.interval.length:,}"
            )
        if each.interval.contig not in contigs:
            raise UsageError(
                f"`formats` npz: no `target` lies on the contig of {each.interval}, so nothing "
                "there acts on one; leave that region out"
            )


def array_bytes(regions: Sequence[Stranded]) -> int:
    """Bytes of the two arrays."""
    per_number = sum(np.dtype(dtype).itemsize for dtype in _DTYPES.values())
    return sum(len(BASES) * per_number * each.interval.length for each in regions)


def write_arrays(
    path: Path,
    regions: Sequence[Stranded],
    pieces: Iterable[tuple[str, int, np.ndarray]],
    genome: Genome,
    scratch: Path,
) -> None:
    """Write the arrays of regions of one width, uncompressed; equal input gives equal bytes.

    Memory does not grow with the regions but for their coordinates.

    Parameters
    ----------
    pieces : iterable of (str, int, ndarray of float32)
        Contig, 0-based start and hypothetical contributions (4, n), NaN where there are none.
    scratch : Path
        Folder for the arrays until they are packed.

    Raises
    ------
    ResourceError
        If a file cannot be written.
    """
    shape = len(regions), len(BASES), regions[0].interval.length
    with naming(scratch):
        arrays: dict[str, Any] = {
            name: open_memmap(scratch / f"{name}.npy", "w+", dtype, shape)
            for name, dtype in _DTYPES.items()
        }
    for row, each in zip(arrays["sequences"], regions, strict=True):
        where = each.interval
        codes = genome.codes(where.contig, where.start, where.stop)
        row[:] = codes == np.arange(len(BASES))[:, None]
    _fill(arrays["hypothetical"], regions, pieces)
    for number, each in enumerate(regions):
        if each.strand == "-":
            for array in arrays.values():
                array[number] = array[number, ::-1, ::-1].copy()
    places: dict[str, Any] = {
        "chrom": np.array([each.interval.contig for each in regions]),
        "start": np.array([each.interval.start for each in regions], np.int64),
        "end": np.array([each.interval.stop for each in regions], np.int64),
        "strand": np.array([each.strand for each in regions]),
    }
    with atomic(path) as part, part.open("wb") as file:
        np.savez(file, **(arrays | places))


def _fill(
    rows: np.ndarray, regions: Sequence[Stranded], pieces: Iterable[tuple[str, int, np.ndarray]]
) -> None:
    """Copy values into the rows of all regions that a piece meets; what is NaN stays 0."""
    width = rows.shape[2]
    numbers: dict[str, list[int]] = {}
    for number in sorted(range(len(regions)), key=lambda i: regions[i].interval.start):
        numbers.setdefault(regions[number].interval.contig, []).append(number)
    starts = {
        contig: np.array([regions[i].interval.start for i in held])
        for contig, held in numbers.items()
    }
    for contig, start, values in pieces:
        if contig not in numbers:
            continue
        stop = start + values.shape[1]
        met = slice(*np.searchsorted(starts[contig], [start - width + 1, stop]))
        for number in numbers[contig][met]:
            at = regions[number].interval.start
            first, last = max(start, at), min(stop, at + width)
            known = np.nan_to_num(values[:, first - start : last - start], nan=0.0)
            rows[number, :, first - at : last - at] = known
