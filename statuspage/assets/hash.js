// What the page shows is in the address behind #, so that it can be kept and passed on.

// read returns what is asked for.
export function read() {
  const q = new URLSearchParams(location.hash.slice(1));
  const page = Number.parseInt(q.get("page") ?? "1", 10);
  return {
    search: (q.get("q") ?? "").slice(0, 300), state: q.get("state") ?? "", service: q.get("service") ?? "",
    page: page > 0 ? page : 1,
  };
}

// link returns the address of what is asked for.
export function link(shown) {
  const q = new URLSearchParams();
  if (shown.search) q.set("q", shown.search);
  if (shown.state) q.set("state", shown.state);
  if (shown.page > 1) q.set("page", shown.page);
  if (shown.service) q.set("service", shown.service);
  return `#${q.toString().replaceAll("%2F", "/")}`;
}

// replace changes the address without a step in the history.
export function replace(shown) {
  history.replaceState(null, "", link(shown));
}

// go changes the address as a link does.
export function go(shown) {
  const to = link(shown);
  if (to === "#") {
    history.pushState(null, "", location.pathname);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = to;
}
