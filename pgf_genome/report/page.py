"""The page: its sections in order, its data, and the program that draws the data."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import accumulate, chain, compress
from math import log2, log10
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from pgf_genome.files import atomic_write_text
from pgf_genome.intervals import Interval
from pgf_genome.pages import figures
from pgf_genome.pages.frame import PLOTLY, asset, html_page
from pgf_genome.report.bins import joined
from pgf_genome.report.certificate import certificate_section
from pgf_genome.report.facts import facts_section
from pgf_genome.report.gathering import AROUND, Gathered
from pgf_genome.report.influence import Influence
from pgf_genome.report.lane import lanes
from pgf_genome.report.legend import legend
from pgf_genome.report.logo import GLYPHS, glyph_definitions
from pgf_genome.report.outside import sites_table
from pgf_genome.report.peaks import CodesAt, Details, details, letters, peaks_section
from pgf_genome.report.pyramid import IN_VIEW, Level, levels
from pgf_genome.report.quantiles import quantiles_table
from pgf_genome.report.text import counted, short, table
from pgf_genome.runs.fit import UNKNOWN, Fit
from pgf_genome.runs.record import Record
from pgf_genome.runs.run import SIGNED
from pgf_genome.sequence.parts import Places
from pgf_genome.tracks import Envelope, HistogramBin, Summary

# share of the positions, the faintest, that the histogram does not show at first
FAINTEST = 0.005
SCRIPTS = ("data.js", "look.js", "overview.js", "genes.js", "panels.js", "table.js", "page.js")

GENES = (
    " Under the tracks: genes, those of the + strand above; a gene's name in the field goes there."
)

ValuesIn = Callable[[Sequence[Interval]], Sequence[np.ndarray]]


def write_report(
    path: str | os.PathLike[str],
    record: Record,
    gathered: Gathered,
    values_in: ValuesIn,
    codes_at: CodesAt | None = None,
    took: bool = False,
    places: Places | None = None,
    assembly: str | None = None,
    plotly: str = PLOTLY[0],
) -> None:
    """Write the report of a run as one HTML file that needs no network.

    Parameters
    ----------
    path : path-like
        The file to write.
    record : Record
        All that is known of the run.
    gathered : Gathered
        The result of `Gathering.result`.
    values_in : callable
        Maps windows, in FASTA order without overlap, to an ndarray of float32, (tracks, length),
        for each: NaN where nothing was scored, tracks in the order of ``gathered``.
    codes_at : callable, optional
        Maps ``(contig, start, stop)``, 0-based half-open, to the codes of the plus strand, an
        ndarray of uint8, (stop - start,), A=0, C=1, G=2, T=3, N=4. Without it there are no letters
        and no logos.
    took : bool
        Whether to state time and memory, which differ between repetitions of a run.
    places : Places, optional
        What lies where, for the genes beside positions.
    assembly : str, optional
        Name of the assembly at UCSC, such as hg38; with it the page links to that browser.
    plotly : str
        Where plotly.js is: "inline", or "shared", in one file for all pages of the folder.

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    if plotly == "shared":
        figures.write_shared(Path(path).parent)
    text = render(record, gathered, values_in, codes_at, took, places, assembly, plotly)
    atomic_write_text(path, text)


def render(
    record: Record,
    gathered: Gathered,
    values_in: ValuesIn,
    codes_at: CodesAt | None = None,
    took: bool = False,
    places: Places | None = None,
    assembly: str | None = None,
    plotly: str = PLOTLY[0],
) -> str:
    """Make the text of the report; see `write_report`."""
    windows = gathered.windows
    around = details(windows, values_in(windows), codes_at)
    contigs = gathered.drawn
    data = {
        "tracks": [_track_data(record, name, each) for name, each in gathered.summaries.items()],
        "leading": list(gathered.summaries).index(gathered.leading) if contigs else 0,
        "contigs": [_contig_data(gathered.envelopes(contig), codes_at) for contig in contigs],
        "bins": [_bins(each) for each in zip(*map(gathered.envelopes, contigs), strict=True)],
        "inView": IN_VIEW,
        **_details_data(gathered, around, contigs),
        "influence": [_curve_data(curve) for curve in gathered.influence],
        "inside": gathered.inside and _rounded(gathered.inside),
        "targets": [joined(record.targets or {}).get(contig, ()) for contig in contigs],
        "genes": lanes(places, contigs),
        "assembly": assembly,
        "glyphs": GLYPHS,
    }
    main = Template(_asset("main.html")).substitute(
        certificate=certificate_section(record.certificate),
        fit=_fit(record.fit),
        overview=_overview(record, gathered, codes_at is not None, places is not None)
        if contigs
        else _asset("nothing.html"),
        peaks=peaks_section(record, gathered, around, places),
        distribution=_asset("distribution.html") if _any_drawn(gathered) else "",
        statistics=_statistics(record, gathered.summaries) + quantiles_table(record),
        influence=_influence(gathered, places),
        facts=facts_section(record, took),
        glyphs=glyph_definitions() if codes_at is not None else "",
    )
    return html_page(
        "report",
        record.title,
        main,
        lead=f'<dl class="key-facts">{_key_facts(record, gathered)}</dl>',
        styles=[_asset("report.css")],
        scripts=figures.scripts(*map(_asset, SCRIPTS), data=data, plotly=plotly),
        beside=plotly == "shared",
    )


def _asset(name: str) -> str:
    return asset("pgf_genome.report", f"assets/{name}")


def _key_facts(record: Record, gathered: Gathered) -> str:
    """The facts at the top of the page, as pairs of term and text."""
    scored = max((summary.scored for summary in gathered.summaries.values()), default=0)
    bases = f"{sum(gathered.sizes.values()):,} in {counted(len(gathered.sizes), 'contig')}"
    facts = {
        "Model": record.model.get("name"),
        "Objective": record.objective,
        "Strand": record.strand,
        "Bases": bases,
        "Scored": f"{scored:,}",
    }
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(str(text))}</dd></div>"
        for name, text in facts.items()
        if text is not None
    )


def _overview(record: Record, gathered: Gathered, lettered: bool, genes: bool) -> str:
    contigs = gathered.drawn
    options = "".join(_options(i, gathered.envelopes(name)[0]) for i, name in enumerate(contigs))
    hidden = len(gathered.sizes) - len(contigs)
    verb = "is" if hidden == 1 else "are"
    note = f" {counted(hidden, 'contig')} {verb} not listed here (no score, or among the shortest)."
    return Template(_asset("overview.html")).substitute(
        options=options,
        hidden=note if hidden else "",
        legend=legend(record, gathered.summaries, lettered),
        genes=GENES if genes else "",
        target=" Shaded: the target, which the objective counts." if record.targets else "",
    )


def _options(index: int, envelope: Envelope) -> str:
    """Entries of the list of contigs: the contig and, if there are several, its stretches."""
    made = f'<option value="{index}">{escape(envelope.contig)}</option>'
    stretches = envelope.bins.stretches
    if len(stretches) > 1:
        made += "".join(
            f'<option value="{index}.{which}">{escape(envelope.contig)}:{start + 1:,}-{stop:,}'
            "</option>"
            for which, (start, stop) in enumerate(stretches)
        )
    return made


def _track_data(record: Record, name: str, summary: Summary) -> dict[str, Any]:
    described = record.tracks[name]
    shown = [bin_ for bin_ in summary.histogram if bin_.low > 0]
    return {
        "name": escape(name),
        "title": escape(described.title),
        "unit": escape(described.unit).replace(" per unit ", " per unit<br>"),
        "letters": name in SIGNED,
        "histogram": [_side(summary, shown, negative) for negative in (False, True)],
        "range": _visible_decades(shown, summary.scored),
    }


def _any_drawn(gathered: Gathered) -> bool:
    """Whether a value differs from zero, so that there is a histogram."""
    return any(summary.minimum or summary.maximum for summary in gathered.summaries.values())


def _side(summary: Summary, shown: Sequence[HistogramBin], negative: bool) -> dict[str, Any]:
    side = [bin_ for bin_ in shown if bin_.negative == negative]
    share = [bin_.count / summary.scored / log2(bin_.high / bin_.low) for bin_ in side]
    return {
        "negative": negative,
        "magnitude": [_rounded((bin_.low * bin_.high) ** 0.5) for bin_ in side],
        "share": [_rounded(each) for each in share],
    }


def _visible_decades(shown: Sequence[HistogramBin], scored: int) -> list[float]:
    """The range of all but the faintest half per cent of the scores, in powers of ten."""
    ascending = sorted(shown, key=lambda bin_: bin_.low)
    reached = accumulate(bin_.count for bin_ in ascending)
    visible = [b for b, n in zip(ascending, reached, strict=True) if n > FAINTEST * scored]
    if not visible:
        return [-1.0, 1.0]
    return [log10(visible[0].low), log10(visible[-1].high)]


def _contig_data(envelopes: Sequence[Envelope], codes_at: CodesAt | None) -> dict[str, Any]:
    first, bases = envelopes[0], None
    stretches = first.bins.stretches
    if codes_at is not None and first.bins.width == 1:
        bases = "".join(letters(codes_at, first.contig, *each) for each in stretches)
    return {
        "name": first.contig,
        "length": first.length,
        "scored": max(envelope.scored for envelope in envelopes),
        "stretches": stretches,
        "levels": [[level.bins.width, len(level)] for level in levels(first)],
        "bases": bases,
    }


def _bins(envelopes: Iterable[Envelope]) -> str:
    """All levels of the contigs of a track, finest first, as float32 in base64."""
    every: Iterable[Level] = chain.from_iterable(map(levels, envelopes))
    return _base64([level.numbers() for level in every])


def _details_data(gathered: Gathered, around: Details, names: Sequence[str]) -> dict[str, Any]:
    """The single bases around the peaks: places, letters and, for each track, values.

    Contigs whose bins are single bases hold them already.
    """
    order = {name: i for i, name in enumerate(names)}
    coarse = [gathered.envelopes(w.contig)[0].bins.width > 1 for w in around.windows]
    windows, values = list(compress(around.windows, coarse)), list(compress(around.values, coarse))
    return {
        "windows": [[order[w.contig], w.start, w.stop] for w in windows],
        "letters": around.bases and list(compress(around.bases, coarse)),
        "details": [_base64([each[i] for each in values]) for i in range(len(gathered.summaries))],
        "peaks": [[order[peak.contig], peak.start] for peak in gathered.peaks],
        "around": AROUND,
    }


def _base64(arrays: Sequence[np.ndarray]) -> str:
    joined = np.concatenate([np.empty(0, np.float32), *arrays])
    return b64encode(joined.astype("<f4").tobytes()).decode("ascii")


def _curve_data(curve: Influence) -> dict[str, Any]:
    return {
        "label": escape(curve.label),
        "distance": [_rounded(each) for each in curve.distance],
        "mean": [_rounded(each) for each in curve.mean],
        "maximum": curve.maximum and [_rounded(each) for each in curve.maximum],
    }


def _rounded(value: float) -> float:
    # four digits are more than a screen shows, and they keep the page small
    return float(f"{value:.4g}")


def _statistics(record: Record, summaries: Mapping[str, Summary]) -> str:
    rows = []
    for name, summary in summaries.items():
        described = record.tracks[name]
        values = [
            "none" if n is None else short(n)
            for n in (summary.minimum, summary.mean, summary.maximum)
        ]
        cells = [escape(described.title), f"{summary.scored:,}", *values, escape(described.unit)]
        rows.append(cells)
    head = ["Track", "Scored positions", "Minimum", "Mean", "Maximum", "Unit"]
    return table(head, rows, frozenset(range(1, 5)))


def _fit(fit: Fit | None) -> str:
    """Say it where the model does not know the sequence."""
    if fit is None or fit.knows:
        return ""
    return f'<p class="warning">{UNKNOWN[0].upper()}{UNKNOWN[1:]}: {fit}.</p>'


def _influence(gathered: Gathered, places: Places | None) -> str:
    if not gathered.influence:
        return ""
    sites = sites_table(gathered.outside, places)
    return Template(_asset("influence.html")).substitute(sites=sites)
