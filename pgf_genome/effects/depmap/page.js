/* The heat map of one region at a time: cells are decoded once, and drawn as finely as is seen. */
const data = JSON.parse(document.getElementById("data").textContent);
/* Cells along an axis that are drawn at most, and bases in view that have letters. */
const FINEST = 420, LETTERED = 100, SIDE = 760, LEGEND = 190;
const plot = document.getElementById("map"), chooser = document.getElementById("region");
const digits = new Intl.NumberFormat("en");
/* What is in view: a region, and positions from its start, rows and columns, half-open. */
const view = { region: 0, rows: [0, 0], columns: [0, 0] };

/* Bytes of the cells of a region; zlib's format, as browsers read it. */
async function cellsOf(region) {
  if (!region.bytes) {
    const packed = Uint8Array.from(atob(region.cells), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    region.bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  return region.bytes;
}

/* The part of the largest value, as a square root with its sign; NaN where there is no base. */
function rootOf(region, code) {
  if (code === 0) return NaN;
  const half = region.steps / 2;
  return region.largest < 0 ? (code - 1 - half) / half : (code - 1) / region.steps;
}

function valueOf(region, root) {
  return Math.abs(region.largest) * root * Math.abs(root);
}

function shown(value) {
  return String(+value.toPrecision(3)).replace("-", "−");
}

function spelled(region, start, stop) {
  const at = digits.format(region.start + start + 1);
  return stop - start === 1 ? `${region.letters[start]} ${at}`
    : `${at}–${digits.format(region.start + stop)}`;
}

/* Cells in view, a square of some of them in one where there are many: the largest counts. */
function drawn(region, bytes) {
  const n = region.letters.length, span = Math.max(
    view.rows[1] - view.rows[0], view.columns[1] - view.columns[0]);
  const step = Math.max(1, Math.ceil(span / FINEST));
  const starts = ([low, high]) => {
    const found = [];
    for (let i = Math.floor(low / step) * step; i < high; i += step) found.push(i);
    return found;
  };
  const rows = starts(view.rows), columns = starts(view.columns), z = [], text = [];
  for (const i of rows) {
    const values = new Float32Array(columns.length), words = [];
    columns.forEach((j, k) => {
      let code = 0;
      const last = Math.min(i + step, n), end = Math.min(j + step, n);
      for (let a = i; a < last; a++) {
        for (let b = j; b < end; b++) code = Math.max(code, bytes[a * n + b]);
      }
      values[k] = rootOf(region, code);
      words.push(code === 0 ? "no base"
        : `${spelled(region, i, last)} → ${spelled(region, j, end)}<br>`
          + `${step > 1 ? "up to " : ""}${shown(valueOf(region, values[k]))} ${data.unit}`);
    });
    z.push(values);
    text.push(words);
  }
  const middle = (i) => region.start + i + (step + 1) / 2;
  return { x: columns.map(middle), y: rows.map(middle), z, text };
}

function axisOf(region, [low, high], title, more) {
  const axis = { title: { text: title }, constrain: "domain", showgrid: false, zeroline: false,
    range: [region.start + low + 0.5, region.start + high + 0.5], tickformat: ",d", ...more };
  if (high - low <= LETTERED) {
    const places = [...Array(high - low).keys()].map((i) => low + i);
    axis.tickvals = places.map((i) => region.start + i + 1);
    axis.ticktext = places.map((i) => {
      const base = region.letters[i], tint = "ACGT".includes(base) ? `--base-${base}` : "--quiet";
      return `<span style="color:${color(tint)}">${base}</span>`;
    });
    Object.assign(axis, { ticklen: 0, tickangle: 0, tickfont: { size: high - low > 60 ? 8 : 11 } });
    axis.title.text += `, ${digits.format(region.start + low + 1)}–`
      + digits.format(region.start + high);
  }
  return axis;
}

/* Genes as squares on the diagonal, each with its name beside it where it has room. The colours of
   the map are dark in both themes, and so the squares are light. */
function overlay(region) {
  const shapes = [], annotations = [], n = region.letters.length;
  const [left, right] = view.columns, span = right - left;
  for (const [from, to, name] of region.genes) {
    const start = Math.max(from - region.start, 0), stop = Math.min(to - region.start, n);
    const [low, high] = [region.start + start + 0.5, region.start + stop + 0.5];
    shapes.push({ type: "rect", x0: low, x1: high, y0: low, y1: high, fillcolor: "transparent",
      line: { color: data.mark, width: 1.2 } });
    const seen = stop > left && start < right && stop > view.rows[0] && start < view.rows[1];
    if (!seen || (stop - start) / span < 0.02) continue;
    const outside = (stop - left) / span < 0.88, edge = Math.min(stop, right);
    annotations.push({ text: name, showarrow: false, yanchor: "top",
      xanchor: outside ? "left" : "right", x: region.start + edge + 0.5,
      y: region.start + Math.max(start, view.rows[0]) + 0.5,
      font: { size: 11, color: data.mark } });
  }
  return { shapes, annotations };
}

function legend(region) {
  const roots = [0, 0.25, 0.5, 0.75, 1];
  return { tickvals: roots, ticktext: roots.map((root) => shown(valueOf(region, root))),
    title: { text: data.unit, side: "right" }, thickness: 14, outlinewidth: 0 };
}

const options = {
  displaylogo: false, doubleClick: false, modeBarButtons: [["zoom2d", "pan2d", "toImage"]],
  toImageButtonOptions: { format: "svg", filename: "dependency-map" },
};

async function draw() {
  const region = data.regions[view.region];
  if (!region) return;
  const bytes = await cellsOf(region);
  const room = Math.min(roomFor(plot), SIDE + LEGEND);
  const heat = { type: "heatmap", ...drawn(region, bytes), zmin: 0, zmax: 1, hoverongaps: false,
    colorscale: data.heat, colorbar: legend(region), hovertemplate: "%{text}<extra></extra>" };
  await Plotly.react(plot, [heat], {
    template: themed(template), width: room, height: Math.max(room - LEGEND + 110, 320),
    margin: { l: 92, r: 20, t: 28, b: 64 },
    xaxis: axisOf(region, view.columns, "prediction of"),
    yaxis: axisOf(region, [view.rows[1], view.rows[0]].reverse(), "substitution of", {
      scaleanchor: "x", autorange: false,
      range: [region.start + view.rows[1] + 0.5, region.start + view.rows[0] + 0.5],
    }),
    ...overlay(region),
  }, options);
  const [low, high] = view.columns;
  document.getElementById("place").textContent =
    `${region.contig}:${digits.format(region.start + low + 1)}-${digits.format(region.start + high)}`
    + `, ${digits.format(high - low)} bases`;
  if (!plot.watched) {
    plot.watched = true;
    plot.on("plotly_relayout", moved);
  }
}

/* Rows or columns that lie between two positions of an axis. */
function between(region, ends) {
  const n = region.letters.length, [low, high] = [...ends].sort((a, b) => a - b);
  const first = Math.min(Math.max(Math.round(low - region.start - 0.5), 0), n - 1);
  return [first, Math.min(Math.max(Math.round(high - region.start - 0.5), first + 1), n)];
}

function moved(change) {
  if (!Object.keys(change).some((key) => key.includes("axis.range"))) return;
  const region = data.regions[view.region];
  view.columns = between(region, plot.layout.xaxis.range);
  view.rows = between(region, plot.layout.yaxis.range);
  draw();
}

function show(rows, columns) {
  Object.assign(view, { rows, columns });
  draw();
}

function showWhole() {
  const whole = [0, data.regions[view.region].letters.length];
  show(whole, whole);
}

function listPairs(region) {
  const body = document.querySelector("#pairs tbody");
  body.replaceChildren(...region.pairs.map(([i, j, value], rank) => {
    const row = document.createElement("tr");
    const cells = [rank + 1, spelled(region, i, i + 1), spelled(region, j, j + 1),
      digits.format(j - i), shown(value)];
    row.append(...cells.map((words, k) => {
      const cell = document.createElement("td");
      cell.textContent = words;
      if (k === 0 || k > 2) cell.className = "number";
      return cell;
    }));
    row.tabIndex = 0;
    row.style.cursor = "pointer";
    const around = () => {
      const n = region.letters.length, low = Math.max(i - 20, 0), high = Math.min(j + 21, n);
      show([low, high], [low, high]);
      plot.scrollIntoView({ block: "center" });
    };
    row.addEventListener("click", around);
    row.addEventListener("keydown", (event) => event.key === "Enter" && around());
    return row;
  }));
}

function chooseRegion(index) {
  view.region = index;
  listPairs(data.regions[index]);
  showWhole();
}

document.getElementById("whole").addEventListener("click", showWhole);
chooser.addEventListener("change", () => chooseRegion(Number(chooser.value)));
if (data.regions.length) {
  const whole = [0, data.regions[0].letters.length];
  Object.assign(view, { rows: whole, columns: whole });
  listPairs(data.regions[0]);
}
keepDrawn(draw);
