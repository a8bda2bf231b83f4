const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const plain = text => text.replaceAll("−", "-").replaceAll("\u00a0", " ").trim();

// Sort a table by a column.
for (const button of all("th button")) button.addEventListener("click", () => {
  const th = button.parentElement, body = th.closest("table").tBodies[0], index = th.cellIndex;
  const descending = th.getAttribute("aria-sort") === "ascending";
  for (const other of th.parentElement.cells) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const value = row => {
    const text = plain(row.cells[index].textContent), number = parseFloat(text.replace(/^[▲△▼▽≈∼ ]+/, "").replaceAll(",", ""));
    return isNaN(number) ? text : number;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  const rows = [...body.rows].sort((a, b) => compare(value(a), value(b)));
  body.append(...(descending ? rows.reverse() : rows));
});

// Filter rows, columns, sections and contents by task, data set and method.
const form = document.querySelector("nav form");
form.addEventListener("input", () => {
  const { task, dataset, method } = Object.fromEntries(new FormData(form));
  const names = text => text.split(",")[0].split(" over ");
  const matches = e => (e.dataset.task ?? task).includes(task) && (!dataset || !e.dataset.set || e.dataset.set === dataset)
    && (!method || !e.dataset.method || names(e.dataset.method).includes(method));
  for (const e of all("[data-task], tr[data-method]")) e.hidden = !matches(e);
  for (const th of all("th[data-method]"))
    for (const row of th.closest("table").rows) row.cells[th.cellIndex].hidden = !matches({ dataset: { task, method: th.dataset.method } });
});
form.addEventListener("submit", event => event.preventDefault());

// Save a table as CSV, a figure as SVG or PNG.
const save = (name, address) => Object.assign(document.createElement("a"), { download: name, href: address }).click();
const csvCell = cell => {
  const text = plain(cell.textContent), formula = /^[=+@-]/.test(text) && !/^[+-][\d.][\d.\s±,[\]%e+-]*$/.test(text);
  return '"' + ((formula ? "'" : "") + text).replaceAll('"', '""') + '"';
};
const drawn = (svg, ink) => {
  const copy = svg.cloneNode(true);
  copy.setAttribute("style", "color:" + ink);
  copy.prepend(document.getElementById("figures").cloneNode(true));
  return "data:image/svg+xml," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
};
const savers = {
  csv: (name, block) => {
    const rows = all("tr", block).filter(row => !row.hidden);
    const lines = rows.map(row => [...row.cells].filter(cell => !cell.hidden).map(csvCell).join(","));
    save(name + ".csv", "data:text/csv;charset=utf-8," + encodeURIComponent(lines.join("\n") + "\n"));
  },
  svg: (name, block) => save(name + ".svg", drawn(block.querySelector("svg"), "#222")),
  png: (name, block) => {
    const svg = block.querySelector("svg"), { width, height } = svg.viewBox.baseVal, image = new Image();
    const canvas = Object.assign(document.createElement("canvas"), { width: 4 * width, height: 4 * height });
    image.onload = () => {
      const pen = canvas.getContext("2d");
      pen.fillStyle = "white";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      save(name + ".png", canvas.toDataURL());
    };
    image.src = drawn(svg, "#222");
  },
};
for (const button of all(".save")) button.addEventListener("click", () => savers[button.value](button.name, button.parentElement));

// The contents follow; a link opens what it leads to; paper has everything open.
const links = Object.fromEntries(all("nav a").map(link => [link.hash.slice(1), link]));
const follower = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    for (const link of Object.values(links)) link.removeAttribute("aria-current");
    links[target.id]?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "0px 0px -80% 0px" });
for (const id of Object.keys(links)) follower.observe(document.getElementById(id));
const openTarget = () => document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
addEventListener("hashchange", openTarget);
openTarget();
addEventListener("beforeprint", () => { for (const block of all("details")) block.open = true; });
