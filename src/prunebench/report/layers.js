// Layers before and after: a row each, with a bar as long as the layer was, filled as far as it is left.

/** Offer the groups of the chosen model of which there is something to show. */
function fillLayers() {
  const groups = report.layers.map(({ group }, i) => [String(i), report.groups[group]]);
  const known = groups.filter(([, group]) => group.family === chosen.family);
  at("layers-section").hidden = known.length === 0;
  if (known.length === 0) return;
  fillSelect(at("layers-of"), known.map(([key, group]) => [key, group.label]), at("layers-of").value);
  showLayers();
}

function showLayers() {
  const { model, step, seeds, shown, outputs, weights } = report.layers[Number(at("layers-of").value)];
  const whole = report.models[model], left = { outputs, weights };
  const longest = Math.max(...whole[shown]);
  const change = (what, i) => (left[what][i] === whole[what][i] ? count(whole[what][i]) : `${count(whole[what][i])} → ${count(left[what][i])}`);
  const narrows = shown === "outputs";
  const heads = ["layer", `${shown} before → left`, ...(narrows ? ["weights"] : []), "weights left"];
  const rows = whole.names.map((name, i) => [
    whole.layers[i] > 1 ? `${name} (${whole.layers[i]})` : name,
    barOf(whole[shown][i] / longest, left[shown][i] / whole[shown][i], change(shown, i)),
    ...(narrows ? [change("weights", i)] : []), percent(weights[i] / whole.weights[i]),
  ]);
  at("layers").replaceChildren(...tableOf(heads, rows, ["text name", "text", narrows ? "beside" : ""]));
  at("layers-caption").textContent = `After step ${step}${seeds > 1 ? `, means over ${seeds} seeds` : ""}, in the order of the model. `
    + `Bars are as long as a layer has ${shown}; what is left is filled.${whole.told ? ` ${whole.told[0].toUpperCase()}${whole.told.slice(1)}.` : ""}`;
}

const count = (number) => (number < 10000 ? String(Number(number.toPrecision(4))) : short(number));

function barOf(share, left, text) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span", {}));
  bar.style.setProperty("--share", share);
  bar.style.setProperty("--left", left);
  return element("span", { class: "barred" }, bar, text);
}
