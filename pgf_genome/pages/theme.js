"use strict";
/* Light or dark, as the reader has it or chooses; paper is always light. Whatever draws listens for
   the event "look" of the window. */
const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
/* Paper is narrower than a window, and figures do not hear of it. */
const paper = { width: 690, used: matchMedia("print").matches };

function choose(theme) {
  root.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) {
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${button.textContent.toLowerCase()} colours`);
  }
  dispatchEvent(new Event("look"));
}

choose(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => choose(dark.matches ? "dark" : "light"));
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => choose(root.dataset.theme === "dark" ? "light" : "dark"));
  choose(root.dataset.theme);
});
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
  pending = setTimeout(() => dispatchEvent(new Event("look")), 100);
});
