/* The chromosome: a strip with the whole contig, and below it one panel per track, in one range. */
const PANEL = 138, STRIP = 46, SPACE = 34, TOP = 32, BOTTOM = 46;
const LETTERS_IN_VIEW = 160;
/* What is in view: a contig and positions, 0-based half-open. */
const view = { index: 0, low: 0, high: 0 };
/* A list of what is allowed: plotly's own set has a button that uploads the figure. */
const overviewOptions = {
  displaylogo: false, doubleClick: false,
  modeBarButtons: [["zoom2d", "pan2d", "toImage"]],
  toImageButtonOptions: { format: "svg", filename: "pgf-genome" },
};

const digits = new Intl.NumberFormat("en");

/* One closed outline per run of scored bins, so that no band crosses a gap. */
function band({ start, stop, minimum, maximum }) {
  const x = [], y = [];
  for (let first = 0; first < start.length; first++) {
    if (Number.isNaN(minimum[first])) continue;
    let last = first;
    while (last + 1 < start.length && !Number.isNaN(minimum[last + 1])) last++;
    for (let i = first; i <= last; i++) {
      x.push(start[i] + 0.5, stop[i] + 0.5);
      y.push(maximum[i], maximum[i]);
    }
    for (let i = last; i >= first; i--) {
      x.push(stop[i] + 0.5, start[i] + 0.5);
      y.push(minimum[i], minimum[i]);
    }
    x.push(start[first] + 0.5, null);
    y.push(maximum[first], null);
    first = last;
  }
  return { x, y };
}

function bandTrace(values, tint, place) {
  return {
    ...place, ...band(values), type: "scatter", mode: "lines", fill: "toself",
    fillcolor: tint + "48", line: { width: 0.8, color: tint + "90" }, hoverinfo: "skip",
  };
}

function meanTrace(values, tint, place, lettered) {
  const { start, stop, minimum, maximum, mean } = values;
  const single = start.every((s, i) => stop[i] - s === 1);
  const few = start.length < 800;
  return {
    ...place, type: "scatter", mode: "lines", connectgaps: false,
    x: start.map((s, i) => (s + 1 + stop[i]) / 2),
    y: mean.map((value) => (Number.isNaN(value) ? null : value)),
    line: { color: tint, width: lettered ? 0 : 1.3, shape: few ? "hvh" : "linear" },
    ...(single && few && !lettered ? { fill: "tozeroy", fillcolor: tint + "30" } : {}),
    text: start.map((s, i) => (stop[i] - s === 1
      ? `${digits.format(s + 1)}: ${shown(mean[i])}`
      : `${digits.format(s + 1)}–${digits.format(stop[i])}<br>`
        + `mean ${shown(mean[i])}<br>min ${shown(minimum[i])}, max ${shown(maximum[i])}`)),
    hovertemplate: "%{text}<extra></extra>",
  };
}

function shown(value) {
  return Number.isNaN(value) ? "not scored" : String(+value.toPrecision(4)).replace("-", "−");
}

const hasTargets = data.targets.some((spans) => spans.length);

/* Whether the axis of a track is logarithmic: it is asked for, and no value is negative. */
function isLogarithmic(track) {
  return document.getElementById("logarithmic").checked && !track.letters
    && !track.histogram.some((side) => side.negative && side.share.length);
}

/* The range in view in powers of ten; zeros have no place in it. */
function decadesOf(values, from, to) {
  const seen = values.start.map((start, i) => i).filter((i) => values.maximum[i] > 0
    && values.start[i] < to && values.stop[i] > from);
  if (!seen.length) return [-1, 1];
  const high = Math.log10(Math.max(...seen.map((i) => values.maximum[i])));
  const low = Math.log10(Math.min(...seen.map((i) => values.minimum[i] || values.maximum[i])));
  return [Math.max(low, high - 12) - 0.1, high + 0.1];
}

/* A logarithmic axis, on whose lower end the bands stand that reach below it. */
function logarithmic(values, from, to) {
  const range = decadesOf(values, from, to);
  values.minimum = values.minimum.map((value) => Math.max(value, 10 ** range[0]));
  return { type: "log", range };
}

/* The largest range in view, zero included: letters and bands stand on it. */
function rangeOf(values) {
  let low = 0, high = 0;
  values.start.forEach((start, i) => {
    if (start >= view.high || values.stop[i] <= view.low || Number.isNaN(values.mean[i])) return;
    low = Math.min(low, values.minimum[i]);
    high = Math.max(high, values.maximum[i]);
  });
  const room = 0.06 * (high - low) || 1;
  return [low < 0 ? low - room : 0, high > 0 ? high + room : room];
}

/* The peaks of the table, as rings at their values on the track that ranks them. */
function ringTrace(place) {
  const near = data.peaks.map(([index, position], rank) => ({ index, position, rank }))
    .filter((p) => p.index === view.index && p.position >= view.low && p.position < view.high);
  const height = near.map((p) => valueAt(view.index, data.leading, p.position));
  return {
    ...place, type: "scatter", mode: "markers", x: near.map((p) => p.position + 1), y: height,
    marker: { symbol: "circle-open", size: 7, color: color("--mark"), line: { width: 1.3 } },
    cliponaxis: false, hoverinfo: "skip",
  };
}

/* The letter of each base, as tall as its value and standing on zero. */
function letterShapes(values, yref) {
  const shapes = [];
  values.start.forEach((start, i) => {
    const value = values.mean[i], base = baseAt(view.index, start);
    if (values.stop[i] - start !== 1 || Number.isNaN(value) || !(base in data.glyphs)) return;
    let isX = false;
    const path = data.glyphs[base].replace(/-?[\d.]+/g, (number) => {
      isX = !isX;
      return isX ? start + 0.55 + number * 0.009 : number * value / 100;
    });
    const fill = color(`--base-${base}`);
    shapes.push({ type: "path", path, xref: "x", yref, fillcolor: fill, line: { width: 0 } });
  });
  return shapes;
}

/* The target, which the objective counts, behind a panel. */
function targetShapes(yref) {
  return data.targets[view.index]
    .filter(([start, stop]) => stop > view.low && start < view.high)
    .map(([start, stop]) => ({
      type: "rect", xref: "x", yref: `${yref} domain`, x0: start + 0.5, x1: stop + 0.5, y0: 0, y1: 1,
      layer: "below", line: { width: 0.6, color: color("--faint") }, fillcolor: color("--grid"),
    }));
}

/* Whether windows of single bases are worth drawing: bins are wider, and bases not too narrow. */
function singleBasesSeen(level) {
  return level.width > 1 && view.high - view.low <= data.inView;
}

function addTrack(row, level, traces, layout, domain) {
  const track = data.tracks[row], tint = lineColor(row), suffix = row ? row + 1 : "";
  const place = { xaxis: "x", yaxis: "y" + suffix };
  const span = view.high - view.low, length = data.contigs[view.index].length;
  /* some more than is in view, for a drag that moves it */
  const from = Math.max(Math.floor(view.low - span / 4), 0);
  const to = Math.min(Math.ceil(view.high + span / 4), length);
  const fine = singleBasesSeen(level) ? windowsIn(view.index, from, to) : [];
  const values = valuesOf(view.index, row, level, from, to, fine);
  const scale = isLogarithmic(track) ? logarithmic(values, view.low, view.high)
    : { type: "linear", range: rangeOf(values) };
  layout.shapes.push(...targetShapes(place.yaxis));
  const letters = track.letters && span <= LETTERS_IN_VIEW ? letterShapes(values, place.yaxis) : [];
  layout.shapes.push(...letters);
  if (values.start.some((start, i) => values.stop[i] - start > 1)) {
    traces.push(bandTrace(values, tint, place));
  }
  traces.push(meanTrace(values, tint, place, letters.length > 0));
  if (row === data.leading) traces.push(ringTrace(place));
  layout["yaxis" + suffix] = axis(track.unit, {
    domain, anchor: "x", nticks: 5, exponentformat: "power", fixedrange: true,
    ...scale, zeroline: true,
  });
  layout.annotations.push(heading(track.title, tint, {
    xref: "paper", yref: "paper", x: 0, y: domain[1],
  }));
}

/* All that was written of a contig, in words. */
function wholeInWords(index) {
  const { stretches, length } = data.contigs[index], [low, high] = extent(index);
  if (low === 0 && high === length) return "whole contig";
  return stretches.length > 1 ? "all regions" : "whole region";
}

/* All that was written of the contig, with what is in view marked; a drag here chooses a stretch. */
function addStrip(traces, layout, domain) {
  const contig = data.contigs[view.index], count = data.tracks.length, tint = lineColor(data.leading);
  const level = contig.levels[contig.levels.length - 1];
  const [low, high] = extent(view.index), values = valuesOf(view.index, data.leading, level, low, high);
  const place = { xaxis: "x2", yaxis: `y${count + 1}` };
  const scale = isLogarithmic(data.tracks[data.leading]) ? logarithmic(values, low, high) : {};
  traces.push(bandTrace(values, tint, place));
  layout.xaxis2 = {
    domain: [0, 1], anchor: place.yaxis, range: [low + 0.5, high + 0.5], showgrid: false,
    showticklabels: false, zeroline: false, showline: true, mirror: true,
    linecolor: color("--rule"),
  };
  layout[`yaxis${count + 1}`] = {
    ...scale, domain, anchor: "x2", fixedrange: true, ticks: "", showticklabels: false, showgrid: false,
    zeroline: false, showline: true, mirror: true, linecolor: color("--rule"),
  };
  layout.shapes.push({
    type: "rect", xref: "x2", yref: `${place.yaxis} domain`, x0: Math.max(view.low, low) + 0.5,
    x1: Math.min(view.high, high) + 0.5, y0: 0, y1: 1, line: { width: 1.2, color: color("--mark") },
    fillcolor: color("--mark") + (view.high - view.low < high - low ? "18" : "00"),
  });
  layout.annotations.push({
    text: wholeInWords(view.index), xref: "paper", yref: "paper", x: 0, y: (domain[0] + domain[1]) / 2,
    xanchor: "right", xshift: -8, showarrow: false, font: { size: 11, color: color("--quiet") },
  });
}

function drawOverview() {
  const contig = data.contigs[view.index], count = data.tracks.length;
  const lane = hasGenes ? SPACE + LANE : 0;
  const height = TOP + STRIP + count * (SPACE + PANEL) + lane + BOTTOM;
  const inner = height - TOP - BOTTOM, layout = baseLayout("overview", height), traces = [];
  layout.margin = { ...layout.margin, t: TOP, b: BOTTOM };
  const level = levelFor(contig, view.low, view.high);
  data.tracks.forEach((track, row) => {
    const top = inner - STRIP - SPACE - row * (SPACE + PANEL);
    addTrack(row, level, traces, layout, [Math.max(top - PANEL, 0) / inner, top / inner]);
  });
  addStrip(traces, layout, [(inner - STRIP) / inner, 1]);
  if (hasGenes) addGenes(traces, layout, count + 2, [0, LANE / inner]);
  layout.xaxis = axis("Position (bp, 1-based)", {
    anchor: "y" + (hasGenes ? count + 2 : count > 1 ? count : ""), range: [view.low + 0.5, view.high + 0.5],
    tickformat: ",", hoverformat: ",d", showspikes: true, spikemode: "across", spikedash: "dot",
    ...(view.high - view.low < 12 ? { dtick: 1 } : {}), spikethickness: 1, spikecolor: color("--quiet"), spikesnap: "hovered data",
  });
  Plotly.react("overview", traces, layout, overviewOptions);
  tell(contig, level);
}

/* What a bin is here, and whether zooming in will show more. */
function tell(contig, level) {
  const finest = contig.levels[0].width;
  const seen = singleBasesSeen(level) ? windowsIn(view.index, view.low, view.high) : [];
  const bins = `In view: bins of ${digits.format(level.width)} bases`;
  const bases = contig.length === 1 ? "base" : "bases";
  const text = [`${digits.format(contig.length)} ${bases}, ${digits.format(contig.scored)} scored.`];
  if (level.width === 1) {
    text.push("In view: one value per base.");
  } else if (seen.some((w) => w.start <= view.low && w.stop >= view.high)) {
    text.push("In view: one value per base, around a listed position.");
  } else if (seen.length) {
    text.push(`${bins}, and single bases around listed positions; a bin that is cut there keeps `
      + "the extremes of the whole bin.");
  } else if (level.width > finest) {
    text.push(`${bins}; zoom in for finer ones.`);
  } else {
    text.push(`${bins}; this page holds no finer ones here.`);
  }
  text.push(finest === 1 ? "Every value of this contig is in this page."
    : `Base resolution ends ${digits.format(data.around)} bases from the listed positions: `
      + `elsewhere the finest bins are of ${digits.format(finest)} bases. The track files hold `
      + "every base.");
  document.getElementById("resolution").textContent = text.join(" ");
  const whole = wholeInWords(view.index);
  document.getElementById("whole").textContent = whole[0].toUpperCase() + whole.slice(1);
  const which = contig.stretches.length > 1 ? contig.stretches.findIndex(([start, stop]) => (
    start <= view.low && view.high <= stop)) : -1;
  document.getElementById("contig").value = which < 0 ? view.index : `${view.index}.${which}`;
  document.getElementById("region").value = `${contig.name}:`
    + `${digits.format(Math.floor(view.low) + 1)}-${digits.format(Math.ceil(view.high))}`;
  linkElsewhere(`${contig.name}:${Math.floor(view.low) + 1}-${Math.ceil(view.high)}`);
}

/* IGV desktop listens on a port of this machine; UCSC has to know the assembly. */
function linkElsewhere(region) {
  const place = encodeURIComponent(region), ucsc = document.getElementById("ucsc");
  document.getElementById("igv").href = `http://localhost:60151/goto?locus=${place}`;
  ucsc.hidden = !data.assembly;
  if (data.assembly) {
    ucsc.href = "https://genome.ucsc.edu/cgi-bin/hgTracks"
      + `?db=${encodeURIComponent(data.assembly)}&position=${place}`;
  }
}

/* Show a stretch, at least a few bases of it and within the contig. */
function show(index, low, high) {
  const length = data.contigs[index].length;
  const span = Math.min(Math.max(Math.round(high - low), 10), length);
  const start = Math.round(Math.min(Math.max((low + high - span) / 2, 0), length - span));
  Object.assign(view, { index, low: start, high: start + span });
  drawOverview();
}

function showWhole(index) {
  show(index, ...extent(index));
}
