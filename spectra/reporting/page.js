"use strict";
const number = (value, digits = 3) => value === null ? "–" : Number(value).toPrecision(digits).replace(/\.?0+(e|$)/, "$1");

// Sorts the rows of the table a heading button stands in; a second click turns the order round.
function sort(button) {
  const heading = button.closest("th"), table = button.closest("table"), body = table.tBodies[0];
  const column = heading.cellIndex, down = heading.getAttribute("aria-sort") !== "descending";
  const key = row => { const cell = row.cells[column]; return cell.dataset.value ?? cell.textContent; };
  const numeric = heading.dataset.kind === "number";
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (!numeric) return x.localeCompare(y, undefined, { numeric: true });
    if (x === "" || y === "") return (x === "") - (y === "") || 0;
    return Number(x) - Number(y);
  });
  if (down) rows.reverse();
  body.append(...rows);
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}

// Leading singular values of one matrix, before and after, as an SVG; what is an intruder is circled.
function spectrum(matrix) {
  const width = 560, height = 260, left = 52, right = 12, top = 12, bottom = 42;
  const both = [...matrix.base, ...matrix.tuned], most = Math.max(...both), least = Math.min(...both, most * 0.98);
  const pad = (most - least) * 0.06, low = Math.max(0, least - pad), high = most + pad, count = matrix.tuned.length;
  const x = j => left + (count < 2 ? 0 : j * (width - left - right) / (count - 1));
  const y = value => top + (height - top - bottom) * (high - value) / (high - low || 1);
  const line = (values, style) => `<polyline fill="none" ${style} points="${values.map((v, j) => `${x(j)},${y(v)}`).join(" ")}"/>`;
  const ticks = [0, 1, 2, 3].map(i => low + (high - low) * i / 3);
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="singular values of ${matrix.name.replace(/[<>&"]/g, "")}" font-size="12" font-family="system-ui, sans-serif">`
    + ticks.map(t => `<line x1="${left}" x2="${width - right}" y1="${y(t)}" y2="${y(t)}" stroke="#d5dce3"/><text x="${left - 6}" y="${y(t) + 4}" text-anchor="end">${number(t)}</text>`).join("")
    + matrix.tuned.map((_, j) => count > 20 && j % Math.ceil(count / 20) ? "" : `<text x="${x(j)}" y="${height - bottom + 16}" text-anchor="middle">${j + 1}</text>`).join("")
    + line(matrix.base, 'stroke="#0072b2" stroke-width="2" stroke-dasharray="5 4"') + line(matrix.tuned, 'stroke="#1c2733" stroke-width="2"')
    + matrix.tuned.map((v, j) => `<circle cx="${x(j)}" cy="${y(v)}" r="${matrix.intruders.includes(j) ? 6 : 3}" fill="${matrix.intruders.includes(j) ? "#fff" : "#1c2733"}" stroke="${matrix.intruders.includes(j) ? "#b34700" : "#1c2733"}" stroke-width="${matrix.intruders.includes(j) ? 3 : 1}"><title>σ${j + 1} = ${number(v, 4)}, best cosine ${number(matrix.cosines[j], 3)}</title></circle>`).join("")
    + `<text x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">singular value: rank (solid: tuned, dashed: base, ring: intruder)</text></svg>`;
}

function choose(section, at) {
  const data = JSON.parse(section.querySelector("script").textContent);
  section.querySelector(".spectrum").innerHTML = spectrum(data[at]);
  section.querySelector("select").value = at;
  for (const row of section.querySelectorAll("tr[data-at]")) row.classList.toggle("chosen", Number(row.dataset.at) === Number(at));
}

document.addEventListener("click", event => {
  const button = event.target.closest("th button");
  if (button) return sort(button);
  const row = event.target.closest("tr[data-at]");
  if (row) choose(row.closest("section"), row.dataset.at);
});
document.addEventListener("change", event => { if (event.target.matches("select")) choose(event.target.closest("section"), event.target.value); });
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, event => {
  const cell = event.target.closest?.("td[data-tip]");
  if (cell) cell.closest("section").querySelector("output").textContent = cell.dataset.tip;
});
for (const section of document.querySelectorAll("section.comparison")) choose(section, section.querySelector("select").value);
