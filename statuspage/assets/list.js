import { announce, byId, el, keep, setAttribute, setText } from "./dom.js";
import { count, looks, plural } from "./format.js";
import * as hash from "./hash.js";

export const pageSize = 50;
const shownAddresses = 3;

export const nameOf = (service) => `${service.namespace}/${service.name}`;

// addressesOf says where a Service is found: each address once, with its ports.
export function addressesOf(service) {
  const groups = new Map();
  for (const server of service.servers) {
    if (server.kind === "Local") continue; // the same addresses, for clients from outside
    const [protocol, at] = server.name.split(" ");
    const colon = at.lastIndexOf(":");
    const address = server.kind === "NodePort" ? "node port" : at.slice(0, colon);
    const ports = groups.get(address) ?? groups.set(address, new Set()).get(address);
    ports.add(`${at.slice(colon + 1)}/${protocol.toUpperCase()}`);
  }
  return [...groups].map(([address, ports]) => ({ address, ports: [...ports].join(" ") }));
}

// endpointsOf returns the counts of the virtual server that lacks most, or else has most.
export function endpointsOf(service) {
  const plain = service.servers.filter((s) => s.kind !== "Local");
  return (plain.length ? plain : service.servers).reduce((worst, s) => {
    const lacks = s.endpoints - s.inForce - (worst.endpoints - worst.inForce);
    return lacks > 0 || (lacks === 0 && s.endpoints > worst.endpoints) ? { ...s, draining: Math.max(s.draining, worst.draining) }
      : { ...worst, draining: Math.max(s.draining, worst.draining) };
  }, { endpoints: 0, inForce: 0, draining: 0 });
}

function row(service) {
  const name = nameOf(service);
  const link = el("a", { class: "name" }, el("span", { class: "namespace" }, `${service.namespace}/`), el("bdi", {}, service.name));
  return el("tr", {},
    el("td", { class: "c-state" }, el("span", { class: "state" }, el("span", { class: "sign", "aria-hidden": "true" }), el("span"))),
    el("th", { scope: "row", title: name }, link, el("span", { class: "small" })),
    el("td", { class: "wide" }), el("td", { class: "wide addresses" }), el("td", { class: "number" }));
}

function stateInto(node, state) {
  const [kind, sign] = looks(state);
  node.className = `state ${kind}`;
  setText(node.firstElementChild, sign);
  setText(node.lastElementChild, state);
}

// stateMark returns a state as sign and word.
export function stateMark(state, ...more) {
  const [kind, sign] = looks(state);
  return el("span", { class: `state ${kind}` }, el("span", { class: "sign", "aria-hidden": "true" }, sign), el("span", {}, state, ...more));
}

function addressParts(groups) {
  const parts = groups.slice(0, shownAddresses).map((g) =>
    el("span", { class: "address" }, el("code", {}, g.address), " ", el("span", { class: "ports" }, g.ports)));
  if (groups.length > shownAddresses) parts.push(el("span", { class: "more" }, `and ${groups.length - shownAddresses} more`));
  return parts;
}

// List is the table of Services. It shows one page of them, so that ten thousand cost as little as fifty.
export class List {
  constructor(shown) {
    this.shown = shown; // () => what is asked for
    this.states = new Map();
    this.rows = byId("rows");
    this.rows.addEventListener("click", (event) => {
      const tr = event.target.closest("tr");
      if (tr && !event.target.closest("a") && getSelection().isCollapsed) tr.querySelector("a").click();
    });
    this.rows.addEventListener("keydown", (event) => this.key(event));
  }

  get links() {
    return [...this.rows.querySelectorAll("a.name")];
  }

  key(event) {
    const links = this.links;
    const at = links.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    if (to < 0) byId("search").focus();
    else links[to]?.focus();
  }

  // show shows one page, {items, total}.
  show(page) {
    const shown = this.shown();
    const changed = [];
    keep(this.rows, page.items, nameOf, row, (tr, service) => this.fill(tr, service, shown, changed));
    this.states = new Map(page.items.map((s) => [nameOf(s), s.state]));
    if (changed.length) announce(changed.slice(0, 3).join("; ") + (changed.length > 3 ? `; and ${changed.length - 3} more changed` : ""));
    this.pager(page.total, shown);
    const empty = byId("empty");
    empty.hidden = page.total > 0;
    setText(empty, page.total > 0 ? "" : shown.search || shown.state ? "No Service is like that." : "No Services are known yet.");
  }

  fill(tr, service, shown, changed) {
    const name = nameOf(service);
    const [state, head, type, addresses, endpoints] = tr.children;
    const before = this.states.get(name);
    stateInto(state.firstElementChild, service.state);
    setAttribute(tr, "title", service.reason || service.problems?.[0]?.text || null);
    const selected = name === shown.service;
    setAttribute(head.firstElementChild, "href", hash.link({ ...shown, service: name }));
    setAttribute(head.firstElementChild, "aria-current", selected ? "true" : null);
    tr.classList.toggle("selected", selected);
    setText(type, service.type || "–");
    const groups = addressesOf(service);
    const text = JSON.stringify(groups);
    if (addresses.dataset.of !== text) {
      addresses.dataset.of = text;
      addresses.replaceChildren(...addressParts(groups));
      head.lastElementChild.replaceChildren(...addressParts(groups.slice(0, 2)));
    }
    const n = endpointsOf(service);
    setText(endpoints, service.servers.length ? `${count(n.inForce)} of ${count(n.endpoints)}` : "–");
    if (n.draining) endpoints.append(el("span", { class: "small-note" }, `${count(n.draining)} draining`));
    const now = `${service.state} ${endpoints.textContent} ${text}`;
    if (tr.dataset.was !== undefined && tr.dataset.was !== now) {
      tr.classList.remove("changed");
      void tr.offsetWidth; // begins the animation anew
      tr.classList.add("changed");
    }
    tr.dataset.was = now;
    if (before !== undefined && before !== service.state) changed.push(`${name} is now: ${service.state}`);
  }

  pager(total, shown) {
    const last = Math.max(1, Math.ceil(total / pageSize));
    const from = (shown.page - 1) * pageSize;
    this.last = last;
    setText(byId("total"), count(total));
    const range = total === 0 ? "none" : `${count(Math.min(from + 1, total))}–${count(Math.min(from + pageSize, total))} of ${count(total)}`;
    setText(byId("range"), range);
    for (const [id, off] of [["first", shown.page <= 1], ["previous", shown.page <= 1], ["next", shown.page >= last], ["last", shown.page >= last]]) {
      setAttribute(byId(id), "aria-disabled", off ? "true" : null);
    }
    document.querySelector(".pager").hidden = last === 1;
  }

  // found tells how many there are, after a search.
  found(total) {
    announce(total === 0 ? "No Service is like that." : `${plural(total, "Service")} found.`);
  }
}
