"""The strongest positions: a sortable table, with the sequence around each as a logo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from pgf_genome.intervals import Interval
from pgf_genome.report.gathering import Gathered
from pgf_genome.report.logo import LETTERS, logo
from pgf_genome.report.text import NO_BREAK, counted, in_words, short
from pgf_genome.runs.record import Record
from pgf_genome.runs.run import APART, SIGNED, shown
from pgf_genome.runs.sites import EDGE
from pgf_genome.sequence.parts import Places

FLANK = 20
# The first of these tracks that was written gives the heights of the letters.
LETTER_HEIGHTS = (*SIGNED, "sensitivity")

CodesAt = Callable[[str, int, int], np.ndarray]


@dataclass(frozen=True)
class Details:
    """The single bases around the peaks.

    Attributes
    ----------
    windows : sequence of Interval
        Surroundings of the peaks, without overlap, in FASTA order.
    values : sequence of ndarray of float32, (tracks, length)
        One array per window, NaN where nothing was scored.
    bases : sequence of str, optional
        Letters of each window; None without the sequence.
    """

    windows: Sequence[Interval]
    values: Sequence[np.ndarray]
    bases: Sequence[str] | None

    def at(self, peak: Interval) -> tuple[int, int]:
        """Find the window that holds a peak, and the place of the peak in it."""
        for i, window in enumerate(self.windows):
            if window.contig == peak.contig and window.start <= peak.start < window.stop:
                return i, peak.start - window.start
        raise LookupError(f"no window holds {peak}")


def details(
    windows: Sequence[Interval], values: Sequence[np.ndarray], codes_at: CodesAt | None
) -> Details:
    """Make the `Details` of windows; there are no letters without ``codes_at``."""
    if codes_at is None:
        return Details(windows, values, None)
    return Details(windows, values, [letters(codes_at, w.contig, w.start, w.stop) for w in windows])


def letters(codes_at: CodesAt, contig: str, start: int, stop: int) -> str:
    """Read the letters of a stretch, 0-based half-open."""
    return "".join(LETTERS[code] for code in codes_at(contig, start, stop))


def peaks_section(
    record: Record, gathered: Gathered, around: Details, places: Places | None = None
) -> str:
    """Make the heading, note and table; the text is empty if there is no peak.

    With ``places`` there is a column of genes.
    """
    if not gathered.peaks:
        return ""
    drawn = _letter_heights(list(gathered.summaries)) if around.bases is not None else None
    head = ["Rank", "Contig", "Position", *(["Base"] if around.bases else [])]
    head += ["Gene"] if places else []
    titles = (record.tracks[track].title for track in shown(gathered.summaries))
    head += [title.removesuffix(" of the observed base") for title in titles]
    textual = {"Contig", "Base", "Gene"}
    cells = "".join(
        f'<th scope="col" aria-sort="{"ascending" if name == "Rank" else "none"}" '
        f'class="{"" if name in textual else "number"}">'
        f'<button type="button" data-text="{name in textual:d}">{escape(name)}</button></th>'
        for name in head
    )
    if drawn is not None:
        cells += f'<th scope="col">Logo, ±{FLANK} bases</th>'
    rows = "".join(_rows(gathered, around, drawn, places))
    return (
        '<section aria-labelledby="h-peaks"><h2 id="h-peaks">Strongest positions</h2>'
        f'<p class="note">{_note(gathered, drawn)}</p>'
        '<div class="scroll tall" tabindex="0" role="region" aria-labelledby="h-peaks">'
        f'<table id="peaks"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _letter_heights(tracks: Sequence[str]) -> str | None:
    return next((track for track in LETTER_HEIGHTS if track in tracks), None)


def _note(gathered: Gathered, drawn: str | None) -> str:
    text = (
        f"The {counted(len(gathered.peaks), 'position')} of largest |{gathered.leading}|, at least "
        f"{APART} bases apart: neighbours count as one. "
        '<span class="only-screen">Click a column to sort by it, a row to see the position above.'
        "</span> Positions are 1-based, as browsers print them (the track files are "
        "0-based, half-open). "
    )
    if gathered.edges is None:
        text += (
            f"Left out: positions within {EDGE} bases of an N or of an end of their contig, where "
            "values are large for no other reason. "
        )
    elif gathered.edges:
        text += f"Marked *: an N or an end of the contig is within {EDGE} bases. "
    if drawn is None:
        return text + (
            "The sequence was not at hand, so there are no logos; <code>pgf-genome report PREFIX "
            "--fasta FASTA</code> draws them."
        )
    flip = "; below the axis it is negative and the letter upside down"
    return text + (
        f"A letter of the logo is as tall as the {drawn} of that base on the plus strand"
        f"{flip if drawn in SIGNED else ''}. Each logo has its own scale, whose end is "
        "written beside it."
    )


def _rows(
    gathered: Gathered, around: Details, drawn: str | None, places: Places | None
) -> Iterator[str]:
    tracks = list(gathered.summaries)
    for rank, peak in enumerate(gathered.peaks):
        which, at = around.at(peak)
        values = around.values[which]
        cells = [_cell(rank + 1, str(rank + 1)), _cell(None, escape(peak.contig))]
        mark = "*" if (peak.contig, peak.start) in (gathered.edges or ()) else ""
        name = f"{peak.start + 1:,}{mark}"
        place = f'<button type="button" class="go" aria-label="{name}, show">{name}</button>'
        cells.append(_cell(peak.start, place))
        if around.bases is not None:
            base = around.bases[which][at]
            cells.append(f'<td class="base-{base}"><b>{base}</b></td>')
        if places:
            cells.append(_cell(None, escape(in_words(places.near(peak.contig, peak.start)))))
        found = (float(values[tracks.index(name), at]) for name in shown(tracks))
        cells += [_cell(value, short(value)) for value in found]
        if drawn is not None and around.bases is not None:
            heights = values[tracks.index(drawn)]
            cells.append(f"<td>{_logo(peak, at, around.bases[which], heights)}</td>")
        yield f'<tr data-peak="{rank}">{"".join(cells)}</tr>'


def _cell(value: float | None, text: str) -> str:
    """Make a table cell; numbers are sorted by ``value``, NaN last."""
    if value is None:
        return f"<td>{text}</td>"
    known = "" if value != value else f"{value:.9g}" if isinstance(value, float) else str(value)
    return f'<td class="number" data-value="{known}">{text}</td>'


def _logo(peak: Interval, at: int, bases: str, heights: np.ndarray) -> str:
    """Draw the logo of `FLANK` bases on either side; columns past a contig's end are blank."""
    first, last = at - FLANK, at + FLANK + 1
    left, right = max(-first, 0), max(last - len(bases), 0)
    inside = slice(max(first, 0), min(last, len(bases)))
    text = " " * left + bases[inside] + " " * right
    values = [np.nan] * left + heights[inside].tolist() + [np.nan] * right
    known = [abs(value) for value in values if value == value]
    scale = short(max(known, default=0.0))
    name = f"{text.strip()} at {peak.contig}, position {peak.start + 1:,}"
    return (
        f'<span class="logo-row">{logo(text, values, FLANK, name)}'
        f"<small>±{NO_BREAK}{scale}</small></span>"
    )
