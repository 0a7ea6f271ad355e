/* Figures in the colours of the theme. Those that Python made are written in light colours;
   `twins` maps these to the dark ones. */
function color(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function lineColor(rank) {
  return color(`--line-${rank % lines}`);
}

/* A copy of a figure, or of a part of it, in the colours of the theme; an alpha is kept. */
function themed(value) {
  if (typeof value === "string") {
    const twin = root.dataset.theme === "dark" && twins[value.slice(0, 7)];
    return twin ? twin + value.slice(7) : value;
  }
  if (Array.isArray(value)) return value.map(themed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, themed(each)]));
}

function roomFor(plot) {
  return paper.used ? paper.width : plot.clientWidth;
}

/* Draw now, and whenever theme, paper or window change. */
function keepDrawn(draw) {
  addEventListener("look", draw);
  draw();
}

/* Panels are not squeezed below this many pixels: a figure scrolls sideways in its place. */
const NARROWEST = 620;
/* A list of what is allowed: plotly's own set has a button that uploads the figure. */
const embeddedOptions = {
  displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};
const embedded = [...document.querySelectorAll("script.figure")].map((each) => (
  { plot: each.previousElementSibling, ...JSON.parse(each.textContent) }
));

if (embedded.length) keepDrawn(() => {
  for (const { plot, data, layout } of embedded) {
    const room = roomFor(plot), narrow = room < NARROWEST;
    Plotly.react(plot, themed(data), {
      ...themed(layout), width: narrow ? NARROWEST : room, uirevision: "kept",
      /* a finger scrolls then */
      ...(narrow ? { dragmode: false } : {}),
    }, embeddedOptions);
  }
});
