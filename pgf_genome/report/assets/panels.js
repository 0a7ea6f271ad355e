/* Distributions, and influence against distance. */
const plainOptions = { displayModeBar: false };
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

/* One sign of a track's values; the other is drawn beside it without a fill. */
function histogram(side, tint, suffix) {
  return {
    x: side.magnitude, y: side.share, xaxis: "x" + suffix, yaxis: "y" + suffix,
    type: "scatter", mode: "lines",
    line: { color: tint, width: 1.6, shape: "hvh", dash: side.negative ? "dot" : "solid" },
    fill: side.negative ? "none" : "tozeroy", fillcolor: tint + "48",
    hovertemplate: (side.negative ? "−" : "")
      + "%{x:.3g}: density %{y:.3g}<extra></extra>",
  };
}

/* Tracks with values other than zero, with their rows in the overview. */
const distributed = data.tracks.map((track, row) => ({ ...track, row }))
  .filter((track) => track.histogram.some((side) => side.share.length));

function drawDistribution() {
  const most = roomFor(document.getElementById("distribution")) < 800 ? 2 : 3;
  const columns = Math.min(distributed.length, most);
  const rows = Math.ceil(distributed.length / columns);
  const layout = baseLayout("distribution", 200 * rows + 72);
  layout.hovermode = "closest";
  layout.grid = { rows, columns, pattern: "independent", xgap: 0.16, ygap: 0.5 };
  const traces = [];
  distributed.forEach((track, i) => {
    const suffix = i ? i + 1 : "", tint = lineColor(track.row);
    const decades = track.range[1] - track.range[0];
    const sides = track.histogram.filter((side) => side.share.length);
    traces.push(...sides.map((side) => histogram(side, tint, suffix)));
    layout["xaxis" + suffix] = axis(`|value|, ${track.unit}`, {
      type: "log", range: track.range, exponentformat: "power", fixedrange: true,
      ...(decades < 2 ? { tickvals: TICKS, ticktext: TICKS } : { dtick: Math.ceil(decades / 5) }),
    });
    layout["yaxis" + suffix] = axis(i % columns ? "" : "Density (per factor of 2)", {
      rangemode: "tozero", nticks: 5, fixedrange: true,
    });
    const place = { xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0, y: 1.02 };
    layout.annotations.push(heading(track.title, tint, place));
  });
  Plotly.react("distribution", traces, layout, plainOptions);
}

function curveTrace(curve, values, tint, more) {
  return {
    x: curve.distance, y: values, type: "scatter", mode: "lines", ...more,
    line: { color: tint, width: 1.6, dash: more.showlegend ? "solid" : "dot" },
    hovertemplate: `${more.name}<br>%{x:,.0f} bases: %{y:.4g}<extra></extra>`,
  };
}

function drawInfluence() {
  const layout = baseLayout("influence", 340), traces = [];
  const sensitivity = data.tracks.find((track) => track.name === "sensitivity");
  data.influence.forEach((curve, i) => {
    const tint = lineColor(i), name = curve.label;
    if (curve.maximum) {
      const more = { name: `largest, ${name}`, showlegend: false };
      traces.push(curveTrace(curve, curve.maximum, tint, more));
    }
    traces.push(curveTrace(curve, curve.mean, tint, { name: `mean, ${name}`, showlegend: true }));
  });
  Object.assign(layout, {
    hovermode: "closest", showlegend: true, legend: {
      orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom", itemclick: false,
      itemdoubleclick: false,
    },
    xaxis: axis("Distance (bp)", { type: "log", dtick: 1, tickformat: ",", fixedrange: true }),
    yaxis: axis(sensitivity ? `Sensitivity (${sensitivity.unit})` : "Influence", {
      type: "log", exponentformat: "power", dtick: 1, fixedrange: true,
    }),
  });
  if (data.inside !== null) {
    layout.shapes.push({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: data.inside, y1: data.inside,
      line: { width: 1.2, dash: "dash", color: color("--mark") },
    });
    layout.annotations.push({
      text: "mean inside the target", xref: "paper", x: 1, xanchor: "right", yanchor: "bottom",
      y: Math.log10(data.inside), showarrow: false, font: { size: 11, color: color("--mark") },
    });
  }
  Plotly.react("influence", traces, layout, plainOptions);
}
