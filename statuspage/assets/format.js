// Numbers, times and states for people.

const digits = new Intl.NumberFormat("en");

export const count = (n) => digits.format(n);

// rate shortens a number: 1.23 k, 45.6 M.
export function short(n, unit = "") {
  const steps = ["", "k", "M", "G", "T", "P"];
  let step = 0;
  while (Math.abs(n) >= 999.5 && step < steps.length - 1) {
    n /= 1000;
    step++;
  }
  const text = n === 0 || (step === 0 && n >= 100) ? String(Math.round(n)) : n.toFixed(n < 9.995 ? (step || n < 1 ? 2 : 1) : n < 99.95 ? 1 : 0);
  return [text.replace(/\.0+$/, ""), steps[step] + unit].filter(Boolean).join(" ");
}

// duration says how long something is, in one unit.
export function duration(seconds) {
  if (seconds < 0.0005) return "0 s";
  if (seconds < 1) return `${(seconds * 1000).toPrecision(seconds < 0.1 ? 2 : 3)} ms`;
  if (seconds < 100) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

// since says how long ago a moment was, by the clock of the daemon.
export function since(now, at) {
  const seconds = Math.max(0, (Date.parse(now) - Date.parse(at)) / 1000);
  return seconds < 1 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

// isSet tells a moment from Go's zero time.
export const isSet = (at) => Boolean(at) && !at.startsWith("0001-");

export function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

const states = new Map([
  ["in force", ["ok", "✓"]],
  ["pending", ["info", "◔"]],
  ["no endpoints", ["warn", "○"]],
  ["impaired", ["bad", "!"]],
  ["lost", ["bad", "✕"]],
  ["not served", ["quiet", "–"]],
  ["draining", ["info", "↓"]],
  ["leaving", ["quiet", "↓"]],
]);

// looks returns the class and the sign of a state. The sign is there so that color is never all that tells.
export const looks = (state) => states.get(state) ?? ["quiet", "?"];

// plural puts a number before its word.
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
