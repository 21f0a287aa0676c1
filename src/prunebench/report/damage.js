// What pruned models lost: by class, by kind of sample, and the samples themselves.

const withEnds = ([figure, low, high], digits) => `${figure.toFixed(digits)} (${interval(low, high, digits)})`;
const points = ([figure, low, high]) =>
  `${(100 * figure).toFixed(1)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`.replaceAll("-", "−");

function fillDamage() {
  at("damage-section").hidden = report.damages.length === 0;
  if (report.damages.length === 0) return;
  fillSelect(at("damage"), report.damages.map(({ title }, i) => [String(i), title]), "0");
  at("damage").addEventListener("change", showDamage);
  showDamage();
}

function showDamage() {
  const { told, verdict, damage, shown } = report.damages[Number(at("damage").value)];
  at("damage-told").replaceChildren(...[...told, verdict].map((text) => element("p", {}, text)));
  at("damage-classes").replaceChildren(...changesOf("class", damage.classes));
  at("damage-kinds").replaceChildren(...changesOf("quarter", damage.kinds, ({ of, name }) => `${of}: ${name}`));
  at("damage-kinds-details").hidden = damage.kinds.length === 0;
  const over = damage.trials > 1 ? `over ${damage.trials} ${damage.over}` : "in this step alone";
  at("damage-lost").textContent = damage.lost.length
    ? `Lost most often, ${over}; ${damage.lost_samples} samples were lost in any. What it is, and what the pruned model says:`
    : "No sample was lost.";
  const seen = new Map(shown.map((found) => [found.sample, found]));
  at("damage-samples").replaceChildren(...damage.lost.map((lost) => sampleOf(lost, seen.get(lost.sample), damage)));
}

/** A table of changes: those that are more than chance are told by a word and by their weight. */
function changesOf(what, rows, named = ({ name }) => name) {
  const heads = [what, "change, points", "", "samples", "dense", "pruned", "lost", "gained", "p (Holm)"];
  const cells = rows.map((row) => [named(row), points(row.change), row.p < 0.05 ? (row.change[0] < 0 ? "lost" : "gained") : "",
    row.samples, withEnds(row.dense, 3), withEnds(row.pruned, 3), row.lost, row.gained, row.p.toPrecision(2)]);
  return tableOf(heads, cells, ["text", "", "text told"]);
}

function sampleOf({ sample, times, label, dense, pruned, pruned_confidence: sure }, found, { trials }) {
  const said = pruned === label ? `right here (${sure.toFixed(2)})` : `${pruned} (${sure.toFixed(2)})`;
  const caption = element("figcaption", {}, element("b", {}, label), ` → ${said}`, element("br", {}),
    `no. ${sample}${trials > 1 ? `, ${times} of ${trials}` : ""}${dense === label ? "" : `; dense: ${dense}`}`);
  const image = found?.png ? [element("img", { src: `data:image/png;base64,${found.png}`, alt: `test sample ${sample}` })] : [];
  const text = found?.text ? [element("blockquote", {}, found.text)] : [];
  return element("figure", { class: text.length ? "text" : "" }, ...image, ...text, caption);
}
