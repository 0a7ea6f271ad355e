/* Genes and other features under the tracks: those of the plus strand above those of the minus. */
const LANE = 66, ROWS = { "+": 1, "-": -1 };
/* Half the height of a bar and of the line between its thick parts, rows being 1 apart. */
const BAR = 0.4, LINE = 0.05;
/* Pixels of a letter, and between two places of a bar that tell what it is. */
const LETTER = 7, STEP = 14;
/* Names are drawn, and told, of so many features at most. */
const NAMED = 1200;

const hasGenes = data.genes.some((features) => features.length);

/* What plotly would read as markup is text here. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/* A bar, with a tip where its strand leads if it is one of a gene. */
function outline([start, stop, , strand, , ends], y, tip) {
  const spans = ends.length ? ends : [start, stop], x = [], rows = [];
  function put(a, b, half) {
    x.push(a, b, b, a, a, null);
    rows.push(y - half, y - half, y + half, y + half, y - half, null);
  }
  if (ends.length) put(start + 0.5, stop + 0.5, LINE);
  for (let i = 0; i < spans.length; i += 2) {
    const a = spans[i] + 0.5, b = spans[i + 1] + 0.5, slope = Math.min(tip, (b - a) / 2);
    if (strand === "+" && i + 2 === spans.length) {
      x.push(a, b - slope, b, b - slope, a, a, null);
    } else if (strand === "-" && i === 0) {
      x.push(b, a + slope, a, a + slope, b, b, null);
    } else {
      put(a, b, BAR);
      continue;
    }
    rows.push(y - BAR, y - BAR, y, y + BAR, y + BAR, y - BAR, null);
  }
  return [x, rows];
}

function told([start, stop, name, strand, kind]) {
  const what = [kind, strand in ROWS ? `strand ${strand.replace("-", "−")}` : ""].filter(Boolean);
  return `<b>${plain(name)}</b>${what.length ? ` (${plain(what.join(", "))})` : ""} `
    + `${digits.format(start + 1)}–${digits.format(stop)}`;
}

function addGenes(traces, layout, number, domain) {
  const span = view.high - view.low, room = layout.width - layout.margin.l - layout.margin.r;
  const seen = data.genes[view.index]
    .filter(([start, stop]) => start < view.high + span / 4 && stop > view.low - span / 4);
  const place = { xaxis: "x", yaxis: `y${number}`, type: "scatter", hoverinfo: "skip" };
  for (const isGene of [false, true]) {
    const x = [], y = [];
    for (const feature of seen.filter((each) => (each[4] === "") === isGene)) {
      const [at, rows] = outline(feature, ROWS[feature[3]] || 0, 6 * span / room);
      x.push(...at);
      y.push(...rows);
    }
    const tint = color(isGene ? "--faint" : "--rule");
    traces.push({
      ...place, mode: "lines", x, y, fill: "toself", fillcolor: tint + (isGene ? "70" : "b0"),
      line: { width: 0.8, color: tint },
    });
  }
  if (seen.length <= NAMED) traces.push(...nameTraces(seen, place, span / room));
  layout[`yaxis${number}`] = {
    domain, anchor: "x", fixedrange: true, range: [-1.6, 1.6], showgrid: false, zeroline: false,
    tickvals: [1, -1], ticktext: ["+", "−"], ticks: "",
  };
  layout.annotations.push(heading("Genes", color("--quiet"), {
    xref: "paper", yref: "paper", x: 0, y: domain[1],
  }));
}

/* Names in the bars that have room for them, and what a bar is along all of it. */
function nameTraces(seen, place, pixel) {
  const names = { x: [], y: [], text: [] }, hover = { x: [], y: [], text: [] };
  function put(trace, x, y, text) {
    trace.x.push(x);
    trace.y.push(y);
    trace.text.push(text);
  }
  for (const feature of seen) {
    const [start, stop, name, strand] = feature, y = ROWS[strand] || 0;
    const low = Math.max(start, view.low), high = Math.min(stop, view.high);
    if (high <= low) continue;
    if (high - low > LETTER * name.length * pixel) put(names, (low + high + 1) / 2, y, plain(name));
    const steps = Math.floor((high - low) / (STEP * pixel)) + 1;
    for (let i = 0; i < steps; i++) put(hover, low + (i + 0.5) * (high - low) / steps + 0.5, y, told(feature));
  }
  return [
    { ...place, ...names, mode: "text", textfont: { size: 11, color: color("--ink") } },
    { ...place, ...hover, mode: "markers", marker: { opacity: 0 }, hoverinfo: "text" },
  ];
}

/* The region of a gene with some bases around it; of several, first one of the contig in view. */
function geneNamed(text) {
  const wanted = text.trim().toLowerCase();
  const order = data.contigs.map((contig, i) => i)
    .sort((a, b) => (b === view.index) - (a === view.index));
  for (const index of order) {
    const found = data.genes[index].find((feature) => feature[2].toLowerCase() === wanted);
    if (found) {
      const margin = Math.max(60, Math.round((found[1] - found[0]) / 8));
      return [index, found[0] - margin, found[1] + margin];
    }
  }
  return null;
}
