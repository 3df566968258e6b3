import { announce, byId, el, remake, setText } from "./dom.js";
import { count, isSet, plural, since } from "./format.js";
import { stateMark } from "./list.js";

const step = 100; // rows of a table before somebody asks for more

// A heading that begins with * is of a column that there is no room for on a phone.
const table = (caption, heads, rows) => el("table", { class: "facts" }, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads.map((h) =>
  h.startsWith("*") ? el("th", { scope: "col", class: "wide" }, h.slice(1)) : el("th", { scope: "col" }, h)))), el("tbody", {}, rows));

const notes = (title, kind, items) => items?.length > 0 && el("div", { class: `box ${kind}` }, el("h3", {}, title), el("ul", {}, items.map((text) => el("li", {}, text))));

function facts(e, now) {
  const pairs = [["State", stateMark(e.state)], ["Type", e.type || "–"]];
  if (e.reason) pairs.push(["Why", e.reason]);
  if (e.internalTrafficPolicy) pairs.push(["Internal traffic policy", e.internalTrafficPolicy]);
  if (e.externalTrafficPolicy) pairs.push(["External traffic policy", e.externalTrafficPolicy]);
  if (e.sessionAffinity) pairs.push(["Session affinity", e.sessionAffinity]);
  if (isSet(e.created)) pairs.push(["Created", since(now, e.created)]);
  if (e.healthCheck) pairs.push(["Health check", e.healthCheck]);
  return el("dl", { class: "pairs" }, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// kernelOf says what the kernel has otherwise than is desired.
function kernelOf(s) {
  if (!s.desired) return "to be deleted";
  if (!s.kernel) return "not in the kernel yet";
  return s.desired.text === s.kernel.text ? null : `in the kernel: ${s.kernel.text}`;
}

function serverRow(s) {
  const scheduler = (s.desired ?? s.kernel)?.scheduler ?? "–";
  const persistence = (s.desired ?? s.kernel)?.persistenceSeconds;
  const remarks = [kernelOf(s), s.owner && `${s.owner} has it`, s.bound && s.bound.desired && !s.bound.kernel && "its VIP is not bound yet"].filter(Boolean);
  return el("tr", {},
    el("th", { scope: "row" }, el("code", {}, s.name), el("span", { class: "small-note" }, s.port ? `${s.kind}, port ${s.port}` : s.kind), el("span", { class: "small" }, scheduler)),
    el("td", { class: "wide" }, scheduler, persistence ? el("span", { class: "small-note" }, `${count(persistence)} s affinity`) : null),
    el("td", {}, `${count(s.inForce)} of ${count(s.endpoints)}`, s.draining ? el("span", { class: "small-note" }, `${count(s.draining)} draining`) : null),
    el("td", {}, stateMark(s.state), remarks.map((r) => el("span", { class: "small-note" }, r))));
}

// weights finds what the kernel has of each real server: address to weight.
function weights(e) {
  const found = new Map();
  for (const s of e.servers) {
    for (const real of s.reals ?? []) {
      if (!found.has(real.address) || real.state !== "in force") found.set(real.address, real);
    }
  }
  return found;
}

function conditions(v) {
  const list = [v.ready && "ready", !v.ready && v.serving && "serving", v.terminating && "terminating", !v.ready && !v.serving && "not ready"];
  return list.filter(Boolean).join(", ");
}

function verdict(inside, why, who) {
  return el("span", { class: `verdict ${inside ? "ok" : "quiet"}` }, el("span", { class: "sign", "aria-hidden": "true" }, inside ? "✓" : "✕"),
    el("span", {}, el("b", {}, `${inside ? "In" : "Out"}${who}`), why ? `: ${why}` : ""));
}

// weightOf returns the weight of a real server, and what the kernel has if that is another one.
function weightOf(real) {
  if (!real) return "";
  if (real.desired === real.kernel) return `${real.kernel}`;
  if (real.desired == null) return `${real.kernel}, on its way out`;
  return real.kernel == null ? `${real.desired}, not in the kernel yet` : `${real.desired}, in the kernel ${real.kernel}`;
}

function endpointRow(v, real, local) {
  const weight = weightOf(real);
  return el("tr", {},
    el("th", { scope: "row" }, el("code", {}, v.address), el("span", { class: "small-note" }, [v.node && `on ${v.node}`, v.port && `port ${v.port}`, v.slice].filter(Boolean).join(", ")),
      el("span", { class: "small" }, conditions(v), weight && `, weight ${weight}`)),
    el("td", { class: "wide" }, conditions(v)), el("td", { class: "wide" }, weight || "–"),
    el("td", {}, verdict(v.in, v.why, local ? " for all" : ""), local && verdict(v.local, v.whyLocal, " for Local")));
}

function pathRows(paths) {
  const rows = [];
  paths.forEach((p, i) => {
    if (paths[i - 1]?.server !== p.server) rows.push(el("tr", { class: "group" }, el("th", { colspan: "3", scope: "colgroup" }, el("code", {}, p.server))));
    rows.push(el("tr", {}, el("th", { scope: "row" }, p.from),
      el("td", {}, p.to, p.endpoints.length > 0 && el("span", { class: "small-note" }, plural(p.endpoints.length, "endpoint"))),
      el("td", {}, p.masquerade || "–")));
  });
  return rows;
}

// Detail is the panel about one Service: what `fairlead explain` says.
export class Detail {
  constructor() {
    this.name = "";
    this.panel = byId("detail");
    this.body = byId("detail-body");
  }

  // open shows the panel for a Service that is yet to be asked about; "" closes it. Whoever opened it by a key is
  // taken along.
  open(name, focus = true) {
    if (name === this.name) return;
    this.name = name;
    this.rows = step;
    this.state = undefined;
    this.panel.hidden = !name;
    byId("activity").hidden = Boolean(name);
    byId("columns").classList.toggle("has-detail", Boolean(name));
    setText(byId("detail-name"), name);
    this.say("Asking…");
    if (name && focus) byId("detail-name").focus({ preventScroll: true });
  }

  say(text) {
    remake(this.body, text, () => [el("p", { class: "nothing" }, text)]);
  }

  // show shows an explanation.
  show(e, now) {
    this.last = [e, now];
    if (this.state !== undefined && this.state !== e.state) announce(`${this.name} is now: ${e.state}`);
    this.state = e.state;
    remake(this.body, [e, this.rows], () => this.make(e, now));
  }

  make(e, now) {
    const reals = weights(e);
    const local = e.endpoints.some((v) => v.local || v.whyLocal) && e.servers.some((s) => s.kind === "Local");
    const drains = [...reals.values()].filter((r) => r.state === "draining" || r.state === "leaving");
    return [
      facts(e, now),
      notes("Problems", "bad", e.problems?.map((p) => `${p.reason}: ${p.text}`)),
      notes("Worth knowing", "info", e.remarks),
      notes("Set by annotations", "", e.settings),
      e.servers.length > 0 && table("Virtual servers", ["Server", "*Scheduler", "Endpoints", "State"], e.servers.slice(0, this.rows).map(serverRow)),
      e.endpoints.length > 0 && table(`Endpoints (${count(e.endpoints.length)})`, ["Endpoint", "*Condition", "*Weight", "Verdict"],
        e.endpoints.slice(0, this.rows).map((v) => endpointRow(v, reals.get(v.address), local))),
      drains.length > 0 && table("On their way out", ["Real server", "State", "Weight"], drains.slice(0, this.rows).map((r) =>
        el("tr", {}, el("th", { scope: "row" }, el("code", {}, r.address)), el("td", {}, stateMark(r.state)), el("td", {}, `${r.kernel ?? "–"}`)))),
      e.paths.length > 0 && table("How packets fare", ["From", "To", "What the endpoint sees"], pathRows(e.paths.slice(0, 3 * this.rows))),
      this.more(Math.max(e.endpoints.length, e.servers.length, drains.length, e.paths.length / 3)),
    ];
  }

  more(longest) {
    if (longest <= this.rows) return null;
    const button = el("button", { type: "button" }, `Show more rows (${count(Math.ceil(longest))} in all)`);
    button.addEventListener("click", () => {
      this.rows += 2 * step;
      this.show(...this.last);
    });
    return button;
  }
}
