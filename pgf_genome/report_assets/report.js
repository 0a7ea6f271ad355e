"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const select = document.getElementById("contig");
/* A list of what is allowed: plotly's own set has a button that uploads the figure. */
const overviewOptions = {
  displaylogo: false,
  responsive: true,
  modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
};
const plainOptions = { displayModeBar: false, responsive: true };
const PANEL = 150;
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function tintOf(track) {
  return color(`--track-${track % 8}`);
}

function baseLayout(height) {
  return {
    height, margin: { l: 78, r: 14, t: 26, b: 44 }, showlegend: false, hovermode: "x",
    paper_bgcolor: color("--paper"), plot_bgcolor: color("--paper"),
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--ink") },
  };
}

function axis(title, more) {
  return Object.assign({
    title: { text: title, font: { size: 11.5, color: color("--quiet") }, standoff: 8 },
    gridcolor: color("--grid"), linecolor: color("--rule"), zerolinecolor: color("--rule"),
    tickfont: { color: color("--quiet"), size: 11 }, ticks: "outside", ticklen: 4,
    tickcolor: color("--rule"), showline: true,
  }, more);
}

/* One closed outline per run of scored bins, so that no band crosses a gap. */
function band(starts, stops, low, high) {
  const x = [], y = [];
  for (let first = 0; first < low.length; first++) {
    if (low[first] === null) continue;
    let last = first;
    while (last + 1 < low.length && low[last + 1] !== null) last++;
    for (let i = first; i <= last; i++) {
      x.push(starts[i] + 0.5, stops[i] + 0.5);
      y.push(high[i], high[i]);
    }
    for (let i = last; i >= first; i--) {
      x.push(stops[i] + 0.5, starts[i] + 0.5);
      y.push(low[i], low[i]);
    }
    x.push(starts[first] + 0.5, null);
    y.push(high[first], null);
    first = last;
  }
  return { x, y };
}

function heading(text, tint, place) {
  return {
    text: `<b>${text}</b>`, xanchor: "left", yanchor: "bottom", showarrow: false,
    font: { size: 12.5, color: tint }, ...place,
  };
}

/* The band and the mean line of one track on one contig. */
function envelope(contig, bins, tint, place) {
  const starts = bins.mean.map((_, i) => i * contig.width);
  const stops = starts.map((start) => Math.min(start + contig.width, contig.length));
  return [
    {
      ...place, ...band(starts, stops, bins.minimum, bins.maximum), fill: "toself",
      fillcolor: tint + "48", line: { width: 0.7, color: tint + "80" }, hoverinfo: "skip",
    },
    {
      ...place, x: starts.map((start, i) => (start + 1 + stops[i]) / 2), y: bins.mean,
      line: { color: tint, width: 1.3 }, connectgaps: false,
      customdata: starts.map((start, i) => [start + 1, stops[i], bins.minimum[i], bins.maximum[i]]),
      hovertemplate: "%{customdata[0]:,}–%{customdata[1]:,}<br>mean %{y:.4g}<br>"
        + "min %{customdata[2]:.4g}, max %{customdata[3]:.4g}<extra></extra>",
    },
  ];
}

function drawOverview() {
  const contig = data.contigs[select.value];
  const count = data.tracks.length, gap = 0.26 / count;
  const layout = baseLayout(PANEL * count + 72);
  const traces = [];
  layout.annotations = [];
  data.tracks.forEach((track, row) => {
    const tint = tintOf(row), suffix = row ? row + 1 : "";
    const top = 1 - row / count - gap / 2, bottom = 1 - (row + 1) / count + gap / 2;
    const place = { xaxis: "x", yaxis: "y" + suffix, type: "scatter", mode: "lines" };
    traces.push(...envelope(contig, contig.tracks[row], tint, place));
    layout["yaxis" + suffix] = axis(track.unit, {
      domain: [bottom, top], anchor: "x", nticks: 5, exponentformat: "power",
    });
    layout.annotations.push(
      heading(track.title, tint, { xref: "paper", yref: "paper", x: 0, y: top }),
    );
  });
  layout.xaxis = axis("Position (bp, 1-based)", {
    anchor: "y" + (count > 1 ? count : ""), range: [0.5, contig.length + 0.5],
    tickformat: ",", hoverformat: ",d",
  });
  Plotly.react("overview", traces, layout, overviewOptions);
  document.getElementById("overview-note").textContent = contig.note;
}

/* One sign of a track's values; the other is drawn beside it without a fill. */
function histogram(side, tint, suffix) {
  return {
    x: side.magnitude, y: side.share, xaxis: "x" + suffix, yaxis: "y" + suffix,
    type: "scatter", mode: "lines",
    line: { color: tint, width: 1.6, shape: "hvh", dash: side.negative ? "dot" : "solid" },
    fill: side.negative ? "none" : "tozeroy", fillcolor: tint + "48",
    hovertemplate: (side.negative ? "−" : "")
      + "%{x:.3g}: %{y:.2%} of positions per factor of 2<extra></extra>",
  };
}

function drawDistribution() {
  const columns = Math.min(data.tracks.length, 3);
  const rows = Math.ceil(data.tracks.length / columns);
  const layout = baseLayout(200 * rows + 72);
  layout.hovermode = "closest";
  layout.grid = { rows, columns, pattern: "independent", xgap: 0.16, ygap: 0.4 };
  layout.annotations = [];
  const traces = [];
  data.tracks.forEach((track, i) => {
    const suffix = i ? i + 1 : "", tint = tintOf(i);
    const decades = track.range[1] - track.range[0];
    const sides = track.histogram.filter((side) => side.share.length);
    traces.push(...sides.map((side) => histogram(side, tint, suffix)));
    layout["xaxis" + suffix] = axis("|value|, " + track.unit.replace("<br>", " "), {
      type: "log", range: track.range, exponentformat: "power",
      ...(decades < 2 ? { tickvals: TICKS, ticktext: TICKS } : { dtick: Math.ceil(decades / 5) }),
    });
    layout["yaxis" + suffix] = axis(i % columns ? "" : "Share per factor of 2", {
      tickformat: ".0%", rangemode: "tozero", nticks: 5,
    });
    const place = { xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0, y: 1.02 };
    layout.annotations.push(heading(track.title, tint, place));
  });
  Plotly.react("distribution", traces, layout, plainOptions);
}

function draw() {
  if (data.contigs.length) drawOverview();
  if (data.tracks.length) drawDistribution();
}

draw();
select.addEventListener("change", drawOverview);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
matchMedia("print").addEventListener("change", draw);
