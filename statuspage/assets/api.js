// Questions to the daemon. All are by GET, to this page's own origin.

const patience = 15000; // ms

// ask returns the answer, or throws an error that says why there is none.
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) if (value) query.set(key, value);
  let response;
  try {
    response = await fetch(query.size ? `${path}?${query}` : path, {
      cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "does not answer" : "cannot be reached", { cause: error });
  }
  if (response.ok) return response.json();
  const text = await response.text();
  let said = text.trim();
  try {
    said = JSON.parse(text).error;
  } catch { /* plain text */ }
  const error = new Error(said || `it answers ${response.status}`);
  error.status = response.status;
  throw error;
}
