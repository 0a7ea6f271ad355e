"use strict";

async function open() {
  const answer = await fetch("session.json");
  const session = await answer.json();
  return igv.createBrowser(document.getElementById("browser"), session);
}

function complain(error) {
  const problem = document.getElementById("problem");
  problem.textContent = `igv.js could not open the session: ${error.message ?? error}`;
  problem.hidden = false;
}

// a promise, so that scripts can wait for the browser
window.opened = open();
window.opened.catch(complain);
