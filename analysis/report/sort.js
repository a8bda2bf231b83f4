for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const th = button.parentElement, body = th.closest("table").tBodies[0], index = th.cellIndex;
  const descending = th.getAttribute("aria-sort") === "ascending";
  for (const other of th.parentElement.cells) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const value = row => { const text = row.cells[index].textContent, number = parseFloat(text); return isNaN(number) ? text : number; };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  const rows = [...body.rows].sort((a, b) => compare(value(a), value(b)));
  body.append(...(descending ? rows.reverse() : rows));
});
