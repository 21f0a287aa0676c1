// The leaderboard: a table per model and budget.

function fillBoard() {
  at("board-section").hidden = report.board === null;
  at("verdicts-section").hidden = report.board !== null;
  if (report.board === null) return;
  const { told, tables, notes } = report.board;
  const kind = (text) => (text.startsWith("Warning:") ? "warning" : "");
  at("board").append(...told.map((text) => element("p", { class: kind(text) }, text)));
  if (tables.length === 0) at("board").append(element("p", {}, "No run of it is finished yet."));
  tables.forEach(({ title, about, ...table }, i) => {
    const head = element("h3", { id: `board-${i}` }, title);
    const place = { class: "wide", tabindex: 0, role: "region", "aria-labelledby": head.id };
    at("board").append(head, element("div", place, ranking(table)), element("p", { class: "note" }, about));
  });
  at("board").append(element("ul", { class: "note" }, ...notes.map((text) => element("li", {}, text))));
}

/** One table; what is told apart is bold. */
function ranking({ metric, against, entries }) {
  const heads = ["rank", "criterion", metric, ...against.flatMap((other) => [`− ${other}`, "p"])];
  const kinds = ["", "text", "", ...against.flatMap(() => ["", ""])];
  const areas = entries.some((entry) => entry.area);
  if (areas) heads.push("area", ...against.map((other) => `area − ${other}`));
  const rows = entries.map((entry) => [
    entry.rank, entry.name, ranged(entry.score),
    ...against.flatMap((_, i) => differing(entry.against[i])),
    ...(areas ? [ranged(entry.area), ...against.map((_, i) => ranged(entry.area_against[i] ?? ""))] : []),
    entry.seconds,
  ]);
  const table = element("table", { class: "board" });
  table.append(...tableOf([...heads, "seconds"], rows, kinds));
  return table;
}

function differing(found) {
  if (!found) return ["", ""];
  return [ranged(found.difference, found.told ? "b" : "span"), found.p];
}

/** A figure and its interval, which stands below it where the page is narrow. */
function ranged(text, name = "span") {
  const [figure, range] = text.split(" (");
  return element(name, {}, figure, ...(range ? [" ", element("span", { class: "range" }, `(${range}`)] : []));
}
