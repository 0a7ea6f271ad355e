const data = JSON.parse(document.getElementById("data").textContent);

function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

const bins = data.bins.map(floats);
const details = data.details.map(floats);

/* Levels lie one after the other, contig by contig; one of single bases has no extremes. */
data.contigs.reduce((at, contig) => {
  contig.levels = contig.levels.map(([width, count]) => {
    const level = { width, count, at };
    at += width === 1 ? count : 3 * count;
    return level;
  });
  return at;
}, 0);

let detailsEnd = 0;
const windows = data.windows.map(([contig, start, stop], i) => {
  const at = detailsEnd;
  detailsEnd += stop - start;
  return { contig, start, stop, at, bases: data.letters && data.letters[i] };
});

/* The finest level with few enough bins in view. Positions are 0-based half-open throughout. */
function levelFor(contig, low, high) {
  const fits = contig.levels.find((level) => (high - low) / level.width <= data.inView);
  return fits || contig.levels[contig.levels.length - 1];
}

/* Windows of single bases between two positions. */
function windowsIn(index, low, high) {
  return windows.filter((w) => w.contig === index && w.start < high && w.stop > low);
}

/* The values of a track between two positions: start, stop, minimum, maximum, mean of each bin.
   A bin that reaches into one of the windows ends there: its extremes bound the rest too. */
function valuesOf(index, track, level, low, high, fine = []) {
  const found = { start: [], stop: [], minimum: [], maximum: [], mean: [] };
  function put(start, stop, minimum, maximum, mean) {
    found.start.push(start);
    found.stop.push(stop);
    found.minimum.push(minimum);
    found.maximum.push(maximum);
    found.mean.push(mean);
  }
  function putBins(from, to) {
    const { width, count, at } = level, numbers = bins[track];
    const last = Math.min(Math.ceil(to / width), count);
    for (let i = Math.floor(from / width); i < last; i++) {
      const start = Math.max(i * width, from), stop = Math.min((i + 1) * width, to);
      const [low, high, mean] = width === 1 ? [0, 0, 0] : [0, count, 2 * count];
      put(start, stop, numbers[at + low + i], numbers[at + high + i], numbers[at + mean + i]);
    }
  }
  let reached = Math.floor(low / level.width) * level.width;
  for (const w of fine) {
    if (reached < w.start) putBins(reached, w.start);
    for (let p = Math.max(w.start, reached); p < w.stop; p++) {
      const value = details[track][w.at + p - w.start];
      put(p, p + 1, value, value, value);
    }
    reached = w.stop;
  }
  const end = Math.ceil(high / level.width) * level.width;
  putBins(reached, Math.min(end, data.contigs[index].length));
  return found;
}

/* The base at a position, if this page holds it. */
function baseAt(index, position) {
  const contig = data.contigs[index];
  if (contig.bases) return contig.bases[position];
  const held = windows.find(
    (w) => w.contig === index && w.start <= position && position < w.stop);
  return held && held.bases ? held.bases[position - held.start] : null;
}
