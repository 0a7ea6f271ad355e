"""Tracks of one sequence in memory: what `attribute` writes for a FASTA with this one contig."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pgf_genome.attribution.options import Options
from pgf_genome.attribution.prepare import Prepared, checked_layout, planned
from pgf_genome.attribution.segment import run_segments
from pgf_genome.attribution.selection import select
from pgf_genome.checkpoints.choices import DEFAULT_MODEL
from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.arrays import Ids, token_ids
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.threads import torch_threads
from pgf_genome.errors import SequenceError
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.mamba.vocabulary import Vocabulary
from pgf_genome.notebook import Row, html_table
from pgf_genome.runs.record import Track
from pgf_genome.sequence import store_codes
from pgf_genome.torch_modes import in_ordinary_modes

NAME = "sequence"  # of the contig, in errors


class Tracks(dict[str, np.ndarray]):
    """Values by track, float32 (L,); NaN where a position has none.

    Attributes
    ----------
    descriptions : mapping of str to Track
        Title, unit and meaning of every track.
    """

    def __init__(self, values: Mapping[str, np.ndarray], descriptions: Mapping[str, Track]) -> None:
        super().__init__(values)
        self.descriptions = descriptions

    def _repr_html_(self) -> str:
        rows = [Row.of(track, self[track], self.descriptions[track].unit) for track in self]
        return html_table("Tracks of one sequence", rows)


@in_ordinary_modes
def attribute_sequence(
    sequence: Ids,
    model: LanguageModel | str | Path = DEFAULT_MODEL,
    *,
    tracks: str | Sequence[str] | None = Options.tracks,
    strand: str = Options.strand,
    objective: str | Objective = Options.objective,
    method: str = Options.method,
    gap_length: int = Options.gap_length,
    tile_length: int | None = None,
    window: int | str | None = None,
    halo: int | None = None,
    threads: int | None = None,
) -> Tracks:
    """Compute the sensitivity of an objective to every base of a sequence in memory.

    Parameters
    ----------
    sequence : str, bytes, Seq, SeqRecord, pyfaidx record, or LongTensor (L,)
        Bases, or the model's token ids of bases and N.
    model : LanguageModel, bundled name, checkpoint directory, or hub id
    tracks : str or sequence of str, optional
        Any of those of the method, see `attribute`.
    strand : "+", "-" or "both"
    objective : str or Objective
        likelihood, entropy, logit:BASE, norm, or an objective such as
        ``Likelihood(positions=((100, 200),))``, 0-based half-open.
    method : str
        "corrected", "saliency", "near 8", "exact" or "first-order", see `attribute`.
    gap_length : int
        The model restarts at every run of N of at least this length.
    tile_length : int, optional
        Positions per tile of a causal model; chosen by memory if None.
    window : int or "all", optional
        Bases that a bidirectional model sees at a time; "all" is the whole segment, exactly.
    halo : int, optional
        Bases on each side of a window that are seen and not scored.
    threads : int, optional
        Threads in all; torch's count if None.

    Returns
    -------
    Tracks
        A dict from the name of each track to its values, float32 (L,), at the positions of the
        plus strand: NaN at N, and where nothing predicts a base or its surprisal.

    Raises
    ------
    PgfError
        For a sequence that is empty or holds other tokens, and for options that do not fit.

    Notes
    -----
    The values are, bit for bit, those that `attribute` writes for a FASTA with this one contig.
    Time and memory are its too, with (tracks x L) numbers for the result; states and scores lie
    in a temporary folder while it runs.
    """
    options = Options(
        tracks=tracks,
        strand=strand,
        objective=objective,
        method=method,
        gap_length=gap_length,
        tile=tile_length,
        window=window,
        halo=halo,
        threads=threads,
    )
    if not isinstance(model, LanguageModel):
        model = load_model(model)
    layout = checked_layout(model, options)
    codes = _codes(model.vocabulary, token_ids(model, sequence).cpu().numpy())
    with tempfile.TemporaryDirectory(prefix="pgf-") as folder:
        scratch = Path(folder)
        with store_codes(codes, scratch / "codes", NAME) as genome:
            plan = planned(model, genome, options, layout, select(genome.lengths), {})
            return Tracks(_values(plan, scratch), plan.descriptions)


def _values(plan: Prepared, scratch: Path) -> dict[str, np.ndarray]:
    """Run the segments of the one contig, and gather the values of its tracks."""
    names = plan.options.track_names
    values = np.full((len(names), plan.genome.lengths[NAME]), np.nan, np.float32)
    with torch_threads(plan.threads):
        for result in run_segments(plan, scratch, lambda bases: None):
            for start, piece in result.tracks():
                values[:, start : start + piece.shape[1]] = piece
    return dict(zip(names, values, strict=True))


def _codes(vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
    """Base codes, uint8 (L,), of token ids.

    Raises
    ------
    SequenceError
        At the first token that is neither a base nor N.
    """
    code_of = {token: code for code, token in enumerate(vocabulary.code_to_id.tolist())}
    table = np.full(vocabulary.rows, len(code_of), np.uint8)
    table[list(code_of)] = list(code_of.values())
    codes = table[ids]
    others = np.flatnonzero(codes == len(code_of))
    if others.size:
        first = int(others[0])
        raise SequenceError(
            f"token id {ids[first]} at position {first} is neither a base nor N; leave special "
            "tokens out"
        )
    return codes
