// The page: what is chosen, and what of it is shown. Text of users reaches the page through textContent alone.
"use strict";

const report = JSON.parse(document.getElementById("report").textContent);
const families = [...new Set(report.groups.map((group) => group.family))];
const groupsIn = (family) => report.groups.filter((group) => group.family === family);
const chosen = {
  family: families.reduce((best, family) => (groupsIn(family).length > groupsIn(best).length ? family : best)), axis: "left", when: "after", log: false, timing: null, printing: false, hidden: new Set(), sort: null,
};

const at = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;

function short(number) {
  for (const [size, prefix] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (number >= 0.9995 * size) return Number((number / size).toPrecision(3)) + prefix;
  }
  return String(Number(number.toPrecision(3)));
}

const interval = (low, high, digits) => `${low.toFixed(digits)}–${high.toFixed(digits)}`;

const groupsOfFamily = () => groupsIn(chosen.family);
const shownGroups = () => groupsOfFamily().filter((group) => !chosen.hidden.has(group));
const titleOf = (axis) => report.axes.find((found) => found.name === axis).title;

/** The axes that some group of the chosen model has figures for. */
const axesOfFamily = () => report.axes.filter(({ name }) =>
  groupsOfFamily().some((group) => group.rows.some((row) => name in row.left)));

const isLatency = (axis) => axis.startsWith("latency@");
const timingsOfFamily = () => axesOfFamily().filter(({ name }) => isLatency(name));

function fillSelect(select, pairs, value) {
  select.replaceChildren(...pairs.map(([key, text]) => element("option", { value: key }, text)));
  select.value = pairs.some(([key]) => key === value) ? value : pairs[0][0];
  return select.value;
}

/** Offer what there is of the chosen model. */
function fillControls() {
  const named = (axes) => axes.map(({ name, title }) => [name, title]);
  chosen.axis = fillSelect(at("axis"), named(axesOfFamily()), chosen.axis);
  const timings = timingsOfFamily();
  at("timed").hidden = timings.length === 0;
  chosen.timing = timings.length ? fillSelect(at("timing"), named(timings), chosen.timing) : null;
  const longest = Math.max(...groupsOfFamily().map((group) => group.label.length));
  at("groups").style.setProperty("--longest", `${longest}ch`);
  at("groups").replaceChildren(...groupsOfFamily().map(checkbox));
  fillLayers();
}

function checkbox(group) {
  const box = element("input", { type: "checkbox" });
  box.checked = !chosen.hidden.has(group);
  box.addEventListener("change", () => {
    chosen.hidden[box.checked ? "delete" : "add"](group);
    show();
  });
  return element("label", {}, box, swatch(group), group.label);
}

function chooseAll(all) {
  for (const group of groupsOfFamily()) chosen.hidden[all ? "delete" : "add"](group);
  fillControls();
  show();
}

function show() {
  drawCurves();
  drawTimes();
  fillTable();
}

function listen() {
  at("family").addEventListener("change", (event) => {
    chosen.family = event.target.value;
    fillControls();
    show();
  });
  for (const name of ["axis", "when", "timing"]) {
    at(name).addEventListener("change", (event) => {
      chosen[name] = event.target.value;
      show();
    });
  }
  at("layers-of").addEventListener("change", showLayers);
  at("log").addEventListener("change", (event) => {
    chosen.log = event.target.checked;
    show();
  });
  at("all").addEventListener("click", () => chooseAll(true));
  at("none").addEventListener("click", () => chooseAll(false));
}

/** Light and dark as the system has it, until the button says otherwise; paper is light. */
function listenToTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.style.colorScheme || (system.matches ? "dark" : "light")) === "dark";
  const set = (scheme) => {
    root.style.colorScheme = scheme;
    inks.clear();
    at("theme").textContent = isDark() ? "Light" : "Dark";
    at("theme").setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    show();
  };
  at("theme").addEventListener("click", () => set(isDark() ? "light" : "dark"));
  system.addEventListener("change", () => set(root.style.colorScheme));
  let before = "";
  addEventListener("beforeprint", () => {
    before = root.style.colorScheme;
    chosen.printing = true;
    for (const details of document.querySelectorAll("details")) details.open = true;
    set("light");
  });
  addEventListener("afterprint", () => {
    chosen.printing = false;
    set(before);
  });
  set("");
}

at("about").append(...report.about.map((text) => element("p", {}, text)));
fillSelect(at("family"), families.map((family) => [family, family]), chosen.family);
fillControls();
fillBoard();
fillVerdicts();
fillDamage();
fillRemarks();
fillMachines();
fillCommands();
listen();
listenToTheme();
