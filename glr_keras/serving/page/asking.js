// Requests to the server.

const RETRIES = 3; // when the server is busy

// What the server, or its absence, says to a person.
class Refusal extends Error {}

// Sends a photo, again where the server is busy; returns the response.
export async function ask(path, blob, signal) {
  const options = { method: "POST", body: blob, signal };
  options.headers = { "Content-Type": "application/octet-stream" };
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("The server does not answer. Is it still running?");
    }
    if (response.ok) return response;
    if (response.status === 503 && attempt < RETRIES) {
      await new Promise((done) => setTimeout(done, 1000 * (response.headers.get("Retry-After") ?? 1)));
      continue;
    }
    const answer = await response.json().catch(() => null);
    throw new Refusal(answer?.detail ?? `The server failed (HTTP ${response.status}).`);
  }
}
