/* Colours are those of the style sheet, so that theme and print reach the figures too. */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function tintOf(track) {
  return color(`--track-${track % 8}`);
}

/* Paper is narrower than a window, and plotly does not hear of it. */
const paper = { width: 690, used: matchMedia("print").matches };

function roomFor(figure) {
  return paper.used ? paper.width : document.getElementById(figure).clientWidth;
}

function baseLayout(figure, height) {
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
  return {
    width: roomFor(figure), height, margin: { l: 84, r: 16, t: 26, b: 48 }, showlegend: false, hovermode: "x",
    hoversubplots: "axis", paper_bgcolor: color("--paper"), plot_bgcolor: color("--paper"),
    font: { ...font, color: color("--ink") }, annotations: [], shapes: [],
    hoverlabel: {
      bgcolor: color("--shade"), bordercolor: color("--rule"),
      font: { ...font, color: color("--ink") }, align: "left", namelength: 0,
    },
  };
}

function axis(title, more) {
  return Object.assign({
    title: { text: title, font: { size: 11.5, color: color("--quiet") }, standoff: 8 },
    gridcolor: color("--grid"), linecolor: color("--rule"), zerolinecolor: color("--rule"),
    tickfont: { color: color("--quiet"), size: 11 }, ticks: "outside", ticklen: 4,
    tickcolor: color("--rule"), showline: true, separatethousands: true,
  }, more);
}

function heading(text, tint, place) {
  return {
    text: `<b>${text}</b>`, xanchor: "left", yanchor: "bottom", showarrow: false,
    font: { size: 12.5, color: tint }, ...place,
  };
}

/* Light and dark, as the reader has it or chooses; paper is always light. */
function watchTheme(draw) {
  const root = document.documentElement, button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function choose(theme) {
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${button.textContent.toLowerCase()} colours`);
    draw();
  }
  button.hidden = false;
  button.addEventListener("click", () => choose(root.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => choose(dark.matches ? "dark" : "light"));
  addEventListener("beforeprint", () => {
    Object.assign(paper, { used: true, instead: root.dataset.theme });
    choose("light");
  });
  addEventListener("afterprint", () => {
    paper.used = false;
    choose(paper.instead);
  });
  let pending = 0;
  addEventListener("resize", () => {
    clearTimeout(pending);
    pending = setTimeout(draw, 100);
  });
  choose(root.dataset.theme);
}
