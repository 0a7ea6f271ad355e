/* The table of peaks: a click on a heading sorts it, a click on a row shows the position. */
function keyOf(row, column, isText) {
  const cell = row.cells[column];
  if (isText) return cell.textContent;
  return cell.dataset.value === "" ? null : Number(cell.dataset.value);
}

function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return direction * order;
}

function sortBy(table, heading) {
  const column = heading.cellIndex, isText = heading.querySelector("button").dataset.text === "1";
  /* Numbers start with the largest, which is what one looks for; ranks and names with the first. */
  const first = isText || column === 0 ? "ascending" : "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  const direction = heading.getAttribute("aria-sort") === first ? other : first;
  for (const each of table.tHead.rows[0].cells) {
    if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
  }
  heading.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1, rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(keyOf(a, column, isText), keyOf(b, column, isText), sign)
    || a.dataset.peak - b.dataset.peak);
  table.tBodies[0].append(...rows);
}

function watchTable(table) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = heading.querySelector("button");
    if (button) button.addEventListener("click", () => sortBy(table, heading));
  }
  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    const [index, position] = data.peaks[row.dataset.peak];
    for (const each of table.tBodies[0].rows) each.classList.toggle("shown", each === row);
    show(index, position - 60, position + 61);
    document.getElementById("h-overview").scrollIntoView({ block: "start" });
  });
}
