"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Tables: a click on a title sorts, a field above a long table filters.
const sortBy = head => {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const text = row => row.cells[column].textContent.trim();
  const value = row => parseFloat(row.cells[column].dataset.sort);
  const rows = [...body.rows].sort((a, b) => {
    if (!("numeric" in head.dataset)) return text(a).localeCompare(text(b), "en", {numeric: true}) * (up ? 1 : -1);
    const x = value(a), y = value(b);
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return (x - y) * (up ? 1 : -1);
  });
  body.append(...rows);
};
for (const head of all("table.sortable thead th")) head.querySelector("button").addEventListener("click", () => sortBy(head));

const LONG = 12; // rows
for (const figure of all("figure.table")) {
  const rows = all("tbody tr", figure);
  if (rows.length <= LONG) continue;
  const bar = document.createElement("label"), field = document.createElement("input"), shown = document.createElement("output");
  bar.className = "filter";
  field.type = "search";
  bar.append("Show rows with", field, shown);
  figure.querySelector(".scroll").before(bar);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
    shown.value = words.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

// Curves: readers see at most four lines at once, the same ones in all figures.
const MOST = 4;
const choices = all(".chooser input");
const showChosen = () => {
  for (const figure of all("figure.chosen")) {
    const boxes = all(".chooser input", figure), chosen = new Set(boxes.filter(box => box.checked).map(box => box.value));
    for (const box of boxes) box.disabled = !box.checked && chosen.size >= MOST;
    for (const line of all("[data-series]", figure)) line.classList.toggle("off", !chosen.has(line.dataset.series));
  }
};
for (const box of choices) {
  box.addEventListener("change", () => {
    for (const other of choices) if (other.value === box.value) other.checked = box.checked;
    showChosen();
  });
}
showChosen();

// Figures: what a mark shows stands beside the pointer; lines get a wider area to point at.
const tip = document.getElementById("tip");
for (const path of all("[data-series].mark > path")) {
  const area = path.cloneNode();
  area.removeAttribute("clip-path");
  area.classList.add("hit");
  path.before(area);
}
for (const title of all("svg .mark > title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove(); // a browser's own tooltip would cover ours
}
const hide = () => {
  tip.hidden = true;
  for (const near of all(".near")) near.classList.remove("near");
  for (const focused of all(".focused")) focused.classList.remove("focused");
};
document.addEventListener("pointermove", event => {
  const found = event.target.closest?.("[data-tip]");
  hide();
  if (!found) return;
  tip.textContent = found.dataset.tip;
  tip.hidden = false;
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 10)}px`;
  if (found.dataset.series === undefined) return;
  const drawing = found.closest("svg");
  drawing.classList.add("focused");
  for (const line of all("[data-series]", drawing)) line.classList.toggle("near", line.dataset.series === found.dataset.series);
});
document.addEventListener("scroll", hide, {passive: true, capture: true});

// A figure enlarges.
const dialog = document.getElementById("enlarged"), stage = dialog.querySelector("div");
let home = null;
for (const figure of all("figure.drawing")) {
  figure.querySelector(".enlarge").addEventListener("click", () => {
    home = all(".canvas", figure).find(canvas => canvas.checkVisibility());
    stage.append(home.querySelector("svg"));
    dialog.showModal();
  });
}
dialog.addEventListener("click", event => { if (event.target === dialog || event.target.tagName === "BUTTON") dialog.close(); });
dialog.addEventListener("close", () => home.append(stage.querySelector("svg")));

// Contents: folded above a narrow page, and marked where the reader is. A link into a folded part unfolds it.
const contents = document.querySelector(".contents details"), isNarrow = matchMedia("(max-width: 900px)");
const fold = () => { contents.open = !isNarrow.matches; };
isNarrow.addEventListener("change", fold);
fold();
const links = all(".contents a"), places = links.map(link => document.getElementById(link.hash.slice(1)));
for (const link of links) link.addEventListener("click", fold);
const markPlace = () => {
  const above = places.filter(place => place.getBoundingClientRect().top < innerHeight / 3);
  const current = above.length ? places.indexOf(above[above.length - 1]) : 0;
  links.forEach((link, number) => number === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
};
addEventListener("scroll", markPlace, {passive: true});
markPlace();
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target?.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  const own = target?.querySelector(":scope > details.part:only-of-type");
  if (own) own.open = true;
};
addEventListener("hashchange", unfold);
unfold();
