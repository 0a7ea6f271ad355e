"use strict";
/* Inflate (RFC 1951), because what browsers have for it is no part of the page's loading: a page
   that is printed as soon as it has loaded would have no figures. */
function inflated(bytes, size) {
  const out = new Uint8Array(size);
  let at = 0, filled = 0, held = 0, count = 0;
  function bits(n) {
    while (count < n) {
      held |= bytes[at++] << count;
      count += 8;
    }
    const value = held & ((1 << n) - 1);
    held >>>= n;
    count -= n;
    return value;
  }
  /* Canonical Huffman code: the number of codes of each length, and the symbols in their order. */
  function code(lengths) {
    const counts = new Uint16Array(16), symbols = new Uint16Array(lengths.length);
    for (const length of lengths) counts[length]++;
    counts[0] = 0;
    const next = new Uint16Array(16);
    for (let i = 1; i < 16; i++) next[i] = next[i - 1] + counts[i - 1];
    lengths.forEach((length, symbol) => { if (length) symbols[next[length]++] = symbol; });
    return { counts, symbols };
  }
  function symbol({ counts, symbols }) {
    let value = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      value |= bits(1);
      const these = counts[length];
      if (value - first < these) return symbols[index + value - first];
      index += these;
      first = (first + these) << 1;
      value <<= 1;
    }
    throw new Error("this page is damaged");
  }
  function table(base, extra) {
    return extra.map((n) => { const value = [base, n]; base += 1 << n; return value; });
  }
  const run = (n, most) => Array.from({ length: n }, (_, i) => Math.max(0, Math.min(i >> 2, most) - 1));
  const lengthsOf = [...table(3, run(28, 6)), [258, 0]];
  const distancesOf = table(1, Array.from({ length: 30 }, (_, i) => Math.max(0, (i >> 1) - 1)));
  const fixed = [
    code(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8))),
    code(new Array(30).fill(5)),
  ];
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  function dynamic() {
    const literals = bits(5) + 257, distances = bits(5) + 1, given = bits(4) + 4;
    const own = new Array(19).fill(0);
    for (let i = 0; i < given; i++) own[ORDER[i]] = bits(3);
    const meta = code(own), lengths = [];
    while (lengths.length < literals + distances) {
      const each = symbol(meta);
      if (each < 16) lengths.push(each);
      else {
        const value = each === 16 ? lengths[lengths.length - 1] : 0;
        const times = each === 16 ? 3 + bits(2) : each === 17 ? 3 + bits(3) : 11 + bits(7);
        for (let i = 0; i < times; i++) lengths.push(value);
      }
    }
    return [code(lengths.slice(0, literals)), code(lengths.slice(literals))];
  }
  for (let last = 0; !last;) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 0) {
      held = count = 0;
      const length = bytes[at] | (bytes[at + 1] << 8);
      out.set(bytes.subarray(at + 4, at + 4 + length), filled);
      at += 4 + length;
      filled += length;
      continue;
    }
    const [literal, distance] = kind === 1 ? fixed : dynamic();
    for (let each = symbol(literal); each !== 256; each = symbol(literal)) {
      if (each < 256) {
        out[filled++] = each;
        continue;
      }
      const [length, more] = lengthsOf[each - 257], reach = length + bits(more);
      const [back, further] = distancesOf[symbol(distance)], from = filled - back - bits(further);
      for (let i = 0; i < reach; i++) out[filled++] = out[from + i];
    }
  }
  return out;
}

/* Run a program that an element holds, compressed and in base64; size is that of the program. */
function runInflated(element, size) {
  const text = atob(element.textContent), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const program = document.createElement("script");
  program.textContent = new TextDecoder().decode(inflated(bytes, size));
  document.head.append(program);
  element.remove();
}
