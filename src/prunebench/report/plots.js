// The plots: lines are told apart by the theme's colours, by markers and by dashes.

const COLOURS = [1, 2, 3, 4, 5, 6, 7].map((number) => `--line-${number}`);
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon"];
const DASHES = ["solid", "dashdot", "longdash"];
const CONFIG = {
  displaylogo: false, responsive: true, plotlyServerURL: "", topojsonURL: "", showSendToCloud: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

const PAPER_WIDTH = 680;

const css = (name) => getComputedStyle(document.body).getPropertyValue(name);

const inks = new Map();

/** A colour of the page as Plotly reads it: light-dark() resolved, once for each theme. */
function ink(variable) {
  if (!inks.has(variable)) inks.set(variable, resolved(variable));
  return inks.get(variable);
}

const faint = (color) => color.replace("rgb(", "rgba(").replace(")", ", 0.18)");

function resolved(variable) {
  const probe = element("span", {});
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function look(group) {
  const place = groupsOfFamily().filter((other) => !other.control).indexOf(group);
  if (group.control) return { variable: "--quiet", color: ink("--quiet"), dash: "dash", symbol: "circle-open" };
  const variable = COLOURS[place % COLOURS.length];
  return {
    variable,
    color: ink(variable),
    dash: DASHES[Math.floor(place / COLOURS.length) % DASHES.length],
    symbol: SYMBOLS[place % SYMBOLS.length],
  };
}

const OUTLINES = {
  circle: "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z", square: "M-4-4H4V4H-4Z", diamond: "M0-5L5 0L0 5L-5 0Z",
  "triangle-up": "M0-5L5 4H-5Z", cross: "M-5-2H-2V-5H2V-2H5V2H2V5H-2V2H-5Z", "triangle-down": "M0 5L5-4H-5Z",
  pentagon: "M0-5L5-1L3 4H-3L-5-1Z",
};
const STROKES = { solid: "", dash: "5 4", dashdot: "6 3 1 3", longdash: "9 4" };

/** Line and marker of a group, for its checkbox. */
function swatch(group) {
  const { variable, dash, symbol } = look(group);
  const color = `var(${variable})`; // follows the theme without being drawn again
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const draw = (path, attributes) => {
    const made = document.createElementNS(svg.namespaceURI, "path");
    for (const [key, value] of Object.entries({ d: path, ...attributes })) made.setAttribute(key, value);
    svg.append(made);
  };
  for (const [key, value] of [["class", "swatch"], ["viewBox", "-18 -8 36 16"], ["aria-hidden", "true"]]) {
    svg.setAttribute(key, value);
  }
  const hollow = symbol.endsWith("-open");
  draw("M-18 0H18", { stroke: color, "stroke-width": 2, "stroke-dasharray": STROKES[dash] });
  draw(OUTLINES[symbol.replace("-open", "")], { stroke: color, fill: hollow ? "none" : color });
  return svg;
}

/** Text that Plotly shows as it is: it reads tags and entities in what it is given. */
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const spread = ({ mean, low, high }) =>
  mean.toFixed(4) + (low === null ? "" : ` (${interval(low, high, 4)})`);

/** All figures of a step, a line each. */
function hover(group, row) {
  const lines = [`<b>${plain(group.label)}</b>, step ${row.step}, n = ${row.n}`];
  lines.push(`after fine-tuning ${spread(row.after)}`, `before ${spread(row.before)}`);
  lines.push(`test samples alone ${interval(...row.wilson, 4)}`);
  const absolute = { params: row.params, macs: row.macs };
  for (const { name, title } of report.axes) {
    if (!(name in row.left)) continue;
    const timed = row.timed[name];
    const more = name in absolute ? ` (${short(absolute[name])})` : timed ? ` (${timed.ms.toPrecision(3)} ms, speed-up ${speedup(timed)})` : "";
    lines.push(`${plain(title)} ${percent(row.left[name])}${more}`);
  }
  return lines.join("<br>");
}

/** The pruned group whose places a control takes: of those shown, else of all, the one with the most of them. */
function besideControls() {
  const places = (group) => new Set(group.rows.map((row) => row.left[chosen.axis])).size;
  const most = (groups) => groups.filter((group) => !group.control).reduce(
    (best, group) => (places(group) > (best ? places(best) : 1) ? group : best), null);
  return most(shownGroups()) ?? most(groupsOfFamily());
}

/** Where a step stands, in percent; a control, of which all is left, stands where the same step of a pruned one does. */
function place(group, row) {
  const beside = group.control ? besideControls() : null;
  const from = beside ? beside.rows.find((found) => found.step === row.step) : row;
  return from && chosen.axis in from.left ? 100 * from.left[chosen.axis] : null;
}

function line(group, points, xs, when) {
  const { color, dash, symbol } = look(group);
  return {
    x: xs, y: points.map((row) => row[when].mean), name: plain(group.label), mode: "lines+markers",
    line: { color, dash: when === "before" && chosen.when === "both" ? "dot" : dash, width: 2 },
    marker: { color, symbol, size: 8 }, hoverinfo: "text", hovertext: points.map((row) => hover(group, row)),
    meta: { group: group.label, when },
  };
}

/** The 95 % interval over seeds, cut at 0 and 1; nothing for one seed. */
function band(group, points, xs, when) {
  const known = points.map((row, i) => [xs[i], row[when]]).filter(([, found]) => found.low !== null);
  const there = known.map(([x, found]) => [x, Math.min(1, found.high)]);
  const back = known.map(([x, found]) => [x, Math.max(0, found.low)]).reverse();
  const outline = [...there, ...back];
  return {
    x: outline.map(([x]) => x), y: outline.map(([, y]) => y), fill: "toself", mode: "lines", hoverinfo: "skip",
    line: { width: 0 }, fillcolor: faint(look(group).color), meta: {},
  };
}

/** The same intervals as bars, for latencies: these do not always fall from step to step, and bands would cross. */
function bars(points, when) {
  const reach = (end) => points.map(({ [when]: found }) =>
    (found.low === null ? 0 : Math.abs(Math.min(1, Math.max(0, found[end])) - found.mean)));
  return { type: "data", symmetric: false, array: reach("high"), arrayminus: reach("low"), thickness: 1.2 };
}

/** Round numbers for a logarithmic axis, few where it spans much. */
function logTicks(traces, suffix) {
  const xs = traces.flatMap((trace) => trace.x).filter((x) => x > 0);
  const ratio = Math.max(...xs) / Math.min(...xs);
  const digits = ratio > 10 ? [1, 2, 5] : ratio > 3 ? [1, 1.5, 2, 3, 5, 7] : [1, 1.1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
  const decades = [-3, -2, -1, 0, 1, 2, 3, 4, 5].map((power) => 10 ** power);
  const tickvals = decades.flatMap((decade) => digits.map((digit) => Number((digit * decade).toPrecision(2))));
  return { tickvals, ticktext: tickvals.map((value) => `${value}${suffix}`) };
}

function layout(x, traces) {
  const grid = { gridcolor: ink("--rule"), zeroline: false, linecolor: ink("--rule"), automargin: true };
  return {
    ...(chosen.printing ? { width: PAPER_WIDTH } : { autosize: true }), paper_bgcolor: ink("--paper"), plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
    font: { color: ink("--ink"), family: css("font-family"), size: 13 },
    margin: { l: 56, r: 16, t: 28, b: 48 },
    hoverlabel: { bgcolor: ink("--raised"), bordercolor: ink("--rule"), font: { color: ink("--ink") }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("--quiet"), activecolor: ink("--ink") },
    xaxis: { ...grid, type: chosen.log ? "log" : "linear", ...x,
      ...(chosen.log ? logTicks(traces, x.ticksuffix ?? "") : {}) },
    yaxis: { ...grid, title: { text: "test accuracy" }, minallowed: -0.02, maxallowed: 1.02 },
  };
}

function drawCurves() {
  const lines = [], bands = [];
  for (const group of shownGroups()) {
    const points = group.rows.filter((row) => place(group, row) !== null);
    const xs = points.map((row) => place(group, row));
    for (const when of chosen.when === "both" ? ["after", "before"] : [chosen.when]) {
      lines.push(line(group, points, xs, when));
      if (when === "before" && chosen.when === "both") continue;
      if (isLatency(chosen.axis)) lines.at(-1).error_y = bars(points, when);
      else bands.push(band(group, points, xs, when));
    }
  }
  const x = { title: { text: plain(titleOf(chosen.axis)) }, autorange: "reversed", ticksuffix: " %" };
  const uirevision = [chosen.family, chosen.axis, chosen.log].join(" ");
  const traces = [...bands, ...lines];
  Plotly.react("curves", traces, { ...layout(x, traces), uirevision }, CONFIG);
  fillCaption();
}

function fillCaption() {
  const control = shownGroups().some((group) => group.control);
  at("curves-caption").textContent =
    "Means over seeds; bands and bars are 95 % intervals (Student’s t), cut at 0 and 1, where there are two seeds or more. "
    + "Point at a step for its figures, drag to zoom, double-click to zoom out."
    + (control ? " Dashed: nothing was removed; drawn where the same step of a pruned model stands." : "");
}

function drawTimes() {
  if (chosen.timing === null) return;
  const traces = shownGroups().flatMap((group) => {
    const points = group.rows.filter((row) => chosen.timing in row.timed);
    if (!points.length) return [];
    const drawn = line(group, points, points.map((row) => row.timed[chosen.timing].ms), "after");
    return [{ ...drawn, error_y: bars(points, "after") }];
  });
  const x = { title: { text: `milliseconds: ${plain(titleOf(chosen.timing).replace(" left", ""))}` } };
  const uirevision = [chosen.family, chosen.timing, chosen.log].join(" ");
  Plotly.react("times", traces, { ...layout(x, traces), uirevision }, CONFIG);
}
