const data = JSON.parse(document.getElementById("data").textContent);

function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

const bins = data.bins.map(floats);
const details = data.details.map(floats);

/* Levels lie one after the other, contig by contig; one of single bases has no extremes. In each,
   the bins of a stretch follow those of the stretch before it. */
data.contigs.reduce((at, contig) => {
  contig.levels = contig.levels.map(([width, count]) => {
    const level = { width, count, at, firsts: [] };
    contig.stretches.reduce((first, [start, stop]) => {
      level.firsts.push(first);
      return first + Math.ceil((stop - start) / width);
    }, 0);
    at += width === 1 ? count : 3 * count;
    return level;
  });
  return at;
}, 0);

/* From the first position of a contig that was written to the last. */
function extent(index) {
  const { stretches } = data.contigs[index];
  return [stretches[0][0], stretches[stretches.length - 1][1]];
}

let detailsEnd = 0;
const windows = data.windows.map(([contig, start, stop], i) => {
  const at = detailsEnd;
  detailsEnd += stop - start;
  return { contig, start, stop, at, bases: data.letters && data.letters[i] };
});

/* The finest level with few enough bins in view. Positions are 0-based half-open throughout. */
function levelFor(contig, low, high) {
  const seen = contig.stretches.map(([start, stop]) => Math.min(stop, high) - Math.max(start, low))
    .reduce((sum, length) => sum + Math.max(length, 0), 0);
  const fits = contig.levels.find((level) => seen / level.width <= data.inView);
  return fits || contig.levels[contig.levels.length - 1];
}

/* Windows of single bases between two positions. */
function windowsIn(index, low, high) {
  return windows.filter((w) => w.contig === index && w.start < high && w.stop > low);
}

/* The values of a track between two positions: start, stop, minimum, maximum, mean of each bin.
   A bin that reaches into one of the windows ends there: its extremes bound the rest too. Between
   two stretches there is one that is not scored. */
function valuesOf(index, track, level, low, high, fine = []) {
  const found = { start: [], stop: [], minimum: [], maximum: [], mean: [] };
  function put(start, stop, minimum, maximum, mean) {
    found.start.push(start);
    found.stop.push(stop);
    found.minimum.push(minimum);
    found.maximum.push(maximum);
    found.mean.push(mean);
  }
  const { width, count, at, firsts } = level, numbers = bins[track];
  const [least, most, middle] = width === 1 ? [at, at, at] : [at, at + count, at + 2 * count];
  data.contigs[index].stretches.forEach(([begin, end], which) => {
    if (end <= low || begin >= high) return;
    function putBins(from, to) {
      for (let i = Math.floor((from - begin) / width); begin + i * width < to; i++) {
        const start = Math.max(begin + i * width, from), bin = firsts[which] + i;
        const stop = Math.min(begin + (i + 1) * width, to);
        put(start, stop, numbers[least + bin], numbers[most + bin], numbers[middle + bin]);
      }
    }
    /* whole bins */
    const edge = (position, round) => begin + round((position - begin) / width) * width;
    let reached = edge(Math.max(low, begin), Math.floor);
    const last = Math.min(edge(high, Math.ceil), end), before = found.stop[found.stop.length - 1];
    if (before < reached) put(before, reached, NaN, NaN, NaN);
    for (const w of fine) {
      if (w.start >= end || w.stop <= reached) continue;
      putBins(reached, w.start);
      for (let p = Math.max(w.start, reached); p < Math.min(w.stop, end); p++) {
        const value = details[track][w.at + p - w.start];
        put(p, p + 1, value, value, value);
      }
      reached = Math.min(w.stop, end);
    }
    putBins(reached, last);
  });
  return found;
}

/* The value of a track at one base, if this page holds it. */
function valueAt(index, track, position) {
  const around = windowsIn(index, position, position + 1), [level] = data.contigs[index].levels;
  const { start, stop, mean } = valuesOf(index, track, level, position, position + 1, around);
  const found = start.findIndex((first, i) => first === position && stop[i] === position + 1);
  return found < 0 ? NaN : mean[found];
}

/* The base at a position, if this page holds it. */
function baseAt(index, position) {
  const contig = data.contigs[index];
  if (contig.bases) {
    const which = contig.stretches.findIndex(([start, stop]) => start <= position && position < stop);
    if (which < 0) return null;
    return contig.bases[contig.levels[0].firsts[which] + position - contig.stretches[which][0]];
  }
  const [held] = windowsIn(index, position, position + 1);
  return held && held.bases ? held.bases[position - held.start] : null;
}
