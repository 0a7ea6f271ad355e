/* Drawing everything once, and then whenever something asks for it. */
function draw() {
  if (data.contigs.length) drawOverview();
  if (distributed.length) drawDistribution();
  if (data.influence.length) drawInfluence();
}

/* What the region field says: a contig, a gene, NAME:START-STOP, START-STOP or a position; 1-based. */
function regionOf(text) {
  const named = data.contigs.findIndex((contig) => contig.name === text.trim());
  if (named >= 0) return [named, ...extent(named)];
  const gene = geneNamed(text);
  if (gene) return gene;
  const match = /^\s*(?:(.*):)?\s*([\d,]+)\s*(?:[-–]\s*([\d,]+)\s*)?$/.exec(text);
  if (!match) return null;
  const index = match[1] === undefined ? view.index
    : data.contigs.findIndex((contig) => contig.name === match[1].trim());
  const [first, last] = [match[2], match[3]].map((n) => n && Number(n.replaceAll(",", "")));
  if (index < 0 || first < 1 || first > data.contigs[index].length) return null;
  return last === undefined ? [index, first - 61, first + 60] : [index, first - 1, last];
}

function watchRegion() {
  const form = document.getElementById("where"), region = document.getElementById("region");
  region.addEventListener("input", () => region.setCustomValidity(""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const found = regionOf(region.value);
    const ordered = found && found[2] > found[1];
    region.setCustomValidity(ordered ? "" : "Write NAME:START-STOP, 1-based, of a listed contig.");
    if (ordered) show(...found);
    else region.reportValidity();
  });
  document.getElementById("contig").addEventListener("change", (event) => {
    const [index, which] = event.target.value.split(".").map(Number);
    if (which === undefined) showWhole(index);
    else show(index, ...data.contigs[index].stretches[which]);
  });
}

/* A region in the address, after #, is where the page opens: REPORT.html#chr1:1-200. */
function goToAddress() {
  const found = regionOf(decodeURIComponent(location.hash.slice(1)));
  if (found && found[2] > found[1]) show(...found);
}

function watchCopy() {
  const button = document.getElementById("copy"), region = document.getElementById("region");
  const said = button.textContent;
  button.addEventListener("click", async () => {
    region.select();
    await navigator.clipboard.writeText(region.value).catch(() => document.execCommand("copy"));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}

function watchZoom() {
  const zoom = (factor) => {
    const middle = (view.low + view.high) / 2, half = factor * (view.high - view.low) / 2;
    show(view.index, middle - half, middle + half);
  };
  document.getElementById("nearer").addEventListener("click", () => zoom(1 / 3));
  document.getElementById("farther").addEventListener("click", () => zoom(3));
  document.getElementById("whole").addEventListener("click", () => showWhole(view.index));
  document.getElementById("logarithmic").addEventListener("change", drawOverview);
  const plot = document.getElementById("overview");
  plot.on("plotly_doubleclick", () => showWhole(view.index));
  plot.on("plotly_relayout", (change) => {
    for (const axis of ["xaxis2", "xaxis"]) {
      const [low, high] = [0, 1].map((i) => change[`${axis}.range[${i}]`]);
      if (low !== undefined) show(view.index, low - 0.5, high - 0.5);
    }
  });
}

if (data.contigs.length) [view.low, view.high] = data.contigs[0].stretches[0];
if (data.contigs.length) document.getElementById("logarithmic").checked = hasTargets;
keepDrawn(draw);
if (data.contigs.length) {
  watchRegion();
  watchCopy();
  watchZoom();
  addEventListener("hashchange", goToAddress);
  goToAddress();
}
const peaksTable = document.getElementById("peaks");
if (peaksTable) watchTable(peaksTable);
