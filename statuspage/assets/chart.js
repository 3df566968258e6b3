import { el, setAttribute, setText } from "./dom.js";
import { short } from "./format.js";

const svg = "http://www.w3.org/2000/svg";
const span = 120; // seconds that a chart shows
const width = 240;
const height = 60;
const head = 16; // room for the words above the lines

function draw(name, attributes) {
  const node = document.createElementNS(svg, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// Chart is a small line chart of the last two minutes. A line is {name, value(older, newer)}; with one sample only,
// older is null, and a value of null is a gap.
export class Chart {
  constructor(title, unit, lines, whole = false) {
    Object.assign(this, { title, unit, lines, whole, samples: [] });
    this.picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": title });
    this.picture.append(draw("path", { class: "base", d: `M0 ${height - 0.5}H${width}` }));
    this.paths = lines.map((_, i) => draw("path", { class: `line line-${i}` }));
    this.area = draw("path", { class: "area" });
    this.picture.append(this.area, ...this.paths);
    this.values = lines.map((line, i) => el("span", { class: `value value-${i}` }));
    this.most = el("span", { class: "most" });
    this.element = el("figure", { class: "card chart" },
      el("figcaption", {}, el("span", { class: "title" }, title), el("span", { class: "values" }, this.values)),
      el("div", { class: "plot" }, this.picture, this.most));
  }

  // add takes a sample, {at: seconds, ...}, and draws.
  add(sample) {
    const older = this.samples.at(-1);
    if (older && sample.at <= older.at) return;
    const values = this.lines.map((line) => line.value(older ?? null, sample));
    this.samples.push({ ...sample, values });
    while (this.samples[0].at < sample.at - span) this.samples.shift();
    this.render();
  }

  clear() {
    this.samples = [];
    this.render();
  }

  render() {
    const now = this.samples.at(-1)?.at ?? 0;
    const most = Math.max(this.whole ? 4 : 1, ...this.samples.flatMap((s) => s.values.filter((v) => v != null)));
    const x = (at) => (width * (1 - (now - at) / span)).toFixed(1);
    const y = (value) => (height - 1 - (height - head) * value / most).toFixed(1);
    this.lines.forEach((line, i) => {
      const points = this.samples.filter((s) => s.values[i] != null).map((s) => `${x(s.at)} ${y(s.values[i])}`);
      this.paths[i].setAttribute("d", points.length ? `M${points.join("L")}` : "");
      if (i === 0) {
        const first = this.samples.find((s) => s.values[0] != null);
        this.area.setAttribute("d", points.length ? `M${x(first.at)} ${height}L${points.join("L")}V${height}Z` : "");
      }
      const value = this.samples.at(-1)?.values[i];
      setText(this.values[i], value == null ? "–" : [line.name, short(this.whole ? Math.round(value) : value, this.unit)].filter(Boolean).join(" "));
    });
    setText(this.most, this.samples.length ? `max ${short(most, this.unit)}` : "");
    const said = this.values.map((v) => v.textContent).join(", ");
    setAttribute(this.picture, "aria-label", `${this.title}: now ${said}; ${this.most.textContent} in the last two minutes`);
  }
}

// perSecond returns a line's value for counters: what they grew by. Counters that begin anew leave a gap.
export function perSecond(of) {
  return (older, newer) => {
    if (!older) return null;
    const grown = of(newer) - of(older);
    return grown < 0 ? null : grown / (newer.at - older.at);
  };
}

// trafficCharts returns the charts of a meter's samples.
export function trafficCharts() {
  return [
    new Chart("New connections", "/s", [{ name: "", value: perSecond((s) => s.connections) }]),
    new Chart("Packets", "/s", [
      { name: "in", value: perSecond((s) => s.inPackets) }, { name: "out", value: perSecond((s) => s.outPackets) }]),
    new Chart("Bytes", "B/s", [
      { name: "in", value: perSecond((s) => s.inBytes) }, { name: "out", value: perSecond((s) => s.outBytes) }]),
  ];
}
