/* What the figures of the report share, beside the template. */
function baseLayout(figure, height) {
  return {
    template: themed(template), width: roomFor(document.getElementById(figure)), height,
    margin: { l: 84, r: 16, t: 26, b: 48 }, showlegend: false, hovermode: "x",
    hoversubplots: "axis", annotations: [], shapes: [],
  };
}

function axis(title, more) {
  return { title: { text: title }, ...more };
}

function heading(text, tint, place) {
  return {
    text: `<b>${text}</b>`, xanchor: "left", yanchor: "bottom", showarrow: false,
    font: { size: 12.5, color: tint }, ...place,
  };
}
