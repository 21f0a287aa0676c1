// The tables and lists.

const COLUMNS = [
  ["runs", (group) => group.label, (group) => group.label, "text"],
  ["step", (_, row) => row.step, (_, row) => row.step],
  ["before", (_, row) => row.before.mean, (_, row) => row.before.mean.toFixed(4)],
  ["after", (_, row) => row.after.mean, (_, row) => row.after.mean.toFixed(4) + plusMinus(row.after)],
  ["Wilson", (_, row) => row.wilson[0], (_, row) => interval(...row.wilson, 3)],
  ["params left", (_, row) => row.params, (_, row) => `${percent(row.left.params)} (${short(row.params)})`],
  ["MACs left", (_, row) => row.macs, (_, row) => `${percent(row.left.macs)} (${short(row.macs)})`],
  ["effective MACs", (_, row) => row.effective_macs, (_, row) => effective(row)],
  ["ms", (_, row) => timed(row)?.ms, (_, row) => timed(row)?.ms.toPrecision(3) ?? ""],
  ["speed-up", (_, row) => timed(row)?.speedup, (_, row) => speedup(timed(row))],
  ["n", (_, row) => row.n, (_, row) => row.n],
];

const timed = (row) => row.timed[chosen.timing];
const plusMinus = ({ mean, low, high }) => (low === null ? "" : ` ± ${((high - low) / 2).toFixed(4)}`);

const masked = (row) => row.effective_macs !== null && row.effective_macs !== row.macs;

/** What is left of the unpruned model's MACs without those of masked weights. */
function effective(row) {
  if (row.effective_macs === null) return "";
  return `${percent((row.effective_macs / row.macs) * row.left.macs)} (${short(row.effective_macs)})`;
}

function speedup(found) {
  if (!found) return "";
  return `${found.speedup.toFixed(2)} ×` + (found.low === null ? "" : ` (${interval(found.low, found.high, 2)})`);
}

/** A table with a head and rows of text; columns of numbers stand to the right. */
function tableOf(heads, rows, kinds) {
  const cell = (name) => (text, i) => {
    const attributes = { class: kinds[i] || "" };
    if (name === "th") attributes.scope = "col";
    return element(name, attributes, text);
  };
  const body = rows.map((row) => element("tr", {}, ...row.map(cell("td"))));
  return [element("thead", {}, element("tr", {}, ...heads.map(cell("th")))), element("tbody", {}, ...body)];
}

/** Rows by the chosen column; what has no figure comes last either way. */
function sorted(rows) {
  if (chosen.sort === null) return rows;
  const [, value] = COLUMNS.find(([name]) => name === chosen.sort.column);
  const sign = chosen.sort.descending ? -1 : 1;
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  const known = (pair) => value(...pair) ?? null;
  return [...rows].sort((a, b) => {
    if (known(a) === null || known(b) === null) return (known(a) === null) - (known(b) === null);
    return sign * compare(known(a), known(b));
  });
}

function fillTable() {
  const hidden = chosen.timing === null ? ["ms", "speed-up"] : [];
  if (!shownGroups().some((group) => group.rows.some(masked))) hidden.push("effective MACs");
  const columns = COLUMNS.filter(([name]) => !hidden.includes(name));
  const rows = sorted(shownGroups().flatMap((group) => group.rows.map((row) => [group, row])));
  const heads = columns.map(([name]) => sorter(name));
  const cells = rows.map((pair) => columns.map(([, , text]) => text(...pair)));
  at("table").replaceChildren(...tableOf(heads, cells, columns.map(([, , , kind]) => kind)));
  columns.forEach(([name], i) => {
    const order = chosen.sort?.column === name ? (chosen.sort.descending ? "descending" : "ascending") : "none";
    at("table").tHead.rows[0].cells[i].setAttribute("aria-sort", order);
  });
}

/** The head of a column: a button that sorts by it, and the other way round when it is pressed again. */
function sorter(name) {
  const button = element("button", { type: "button", "data-column": name }, name);
  button.addEventListener("click", () => {
    const again = chosen.sort?.column === name;
    chosen.sort = { column: name, descending: again && !chosen.sort.descending };
    fillTable();
    at("table").querySelector(`[data-column="${name}"]`).focus();
  });
  return button;
}

function fillVerdicts() {
  const rows = report.comparisons.flatMap((comparison) => comparison.rows);
  if (!rows.some((row) => row.n > 1)) {
    const why = rows.length ? "One seed in common: no verdict is possible without more seeds." : "Nothing to compare.";
    at("verdicts").append(element("p", {}, why));
  }
  for (const family of families) {
    const found = report.comparisons.filter((comparison) => comparison.family === family);
    if (found.length && families.length > 1) at("verdicts").append(element("h3", {}, family));
    at("verdicts").append(...found.map((comparison) => comparisonOf(comparison, found.length === 1)));
  }
}

/** Two groups: what the last step says, and on a click every verdict. */
function comparisonOf({ a, b, headline, rows }, open) {
  const summary = element("summary", {}, element("b", {}, a), " against ", element("b", {}, b), ` – ${headline}`);
  const table = element("table", {});
  const cells = rows.map((row) => [row.measure, row.steps, row.mean_a.toFixed(4), row.mean_b.toFixed(4), row.sentence,
    row.p === null ? "" : row.p.toPrecision(2)]);
  const heads = ["measure", "step", a, b, `${a} is`, "p (Holm)"];
  table.append(...tableOf(heads, cells, ["text", "", "", "", "text sentence", ""]));
  const details = element("details", {}, summary, element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `${a} against ${b}` }, table));
  details.open = open;
  return details;
}

function fillRemarks() {
  const lines = [...report.unfinished, ...report.remarks];
  at("remarks-section").hidden = lines.length === 0;
  const kind = (text) => (text.includes("Warning:") || report.unfinished.includes(text) ? "warning" : "");
  at("remarks").append(...lines.map((text) => element("li", { class: kind(text) }, text)));
}

function fillMachines() {
  const versions = [...new Set(report.machines.flatMap(({ environment }) => Object.keys(environment.versions)))];
  const heads = ["computed", "hardware", "device", "threads", "cores", "governor", "driver", "deterministic", "system",
    "python", ...versions];
  const rows = report.machines.map(({ computed, environment: on }) => [
    computed, on.hardware, on.device, on.threads, on.cores || "", on.governor, on.driver, on.deterministic ? "yes" : "no",
    on.platform, on.python, ...versions.map((name) => on.versions[name] ?? ""),
  ]);
  const table = element("table", { class: "machines" });
  const across = heads.map((head, i) => [head, ...rows.map((row) => row[i])]).filter(([, ...cells]) => cells.some(String));
  table.append(element("tbody", {}, ...across.map(([head, ...cells]) => element("tr", {},
    element("th", { scope: "row", class: "text" }, head),
    ...cells.map((cell) => element("td", { class: "text sentence" }, cell))))));
  at("machines").append(table);
}

function restored(commands) {
  let words = [];
  return commands.map(({ run, command, instead }) => {
    words = instead ? words.map((word, i) => instead[i] ?? word) : command === null ? [] : command.split(" ");
    return { run, command: words.length ? words.join(" ") : null };
  });
}

function fillCommands() {
  if (report.study) {
    const sets = report.study.set.map((text) => ` --set ${text}`).join("");
    at("commands").append(element("p", {}, "The study, with this as study.toml and the files that it names beside it: ",
      element("code", {}, `prunebench study study.toml${sets}`)), element("pre", {}, report.study.source));
  }
  const lines = restored(report.commands).map(({ run, command }) =>
    `# ${run}\n${command ?? "# was made in Python, of an object that no command can name"}`);
  at("commands").append(element("details", { open: "" }, element("summary", {}, "Each run, by a command of its own"),
    element("pre", {}, lines.join("\n\n"))));
}
