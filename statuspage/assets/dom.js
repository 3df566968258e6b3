// The only code that makes elements. Text gets into the document by textContent and by attributes that are
// named here, so nothing that a cluster says can be taken for markup.

export const byId = (id) => document.getElementById(id);

// el makes an element. Children are elements or text; null and false are left out.
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

// setText changes an element's text if it is another one: what does not change is not painted, nor read aloud.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// setAttribute does the same for an attribute; null takes it away.
export function setAttribute(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// keep makes the children of a parent those of a list of items: one for each key, those that are there kept, so
// that focus and selection stay.
export function keep(parent, items, keyOf, create, update) {
  const had = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focused = document.activeElement;
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = had.get(key);
    had.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const child of had.values()) child.remove();
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

// remake replaces the children of a parent, but only when what they are made of has changed.
export function remake(parent, from, make) {
  const text = JSON.stringify(from);
  if (parent.madeOf === text) return;
  parent.madeOf = text;
  const scroll = parent.scrollTop;
  parent.replaceChildren(...make().filter(Boolean));
  parent.scrollTop = scroll;
}

// announce has a screen reader say something when it has time to.
export function announce(text) {
  byId("announcer").textContent = text;
}
