// SMART App Launch for a public app: https://hl7.org/fhir/smart-app-launch/app-launch.html. PKCE, state, refresh.
// What a launch gives is kept for this tab alone, and until it expires: closing the tab ends it.

const LAUNCH = "smart-launch";

const text = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const random = () => text(crypto.getRandomValues(new Uint8Array(32)));
const claims = (token) => JSON.parse(new TextDecoder().decode(
  Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0))));

/** What goes wrong in a launch, in words for the person. */
export class LaunchProblem extends Error {}

/** Go to the authorization server of `iss`. `app` is { client, redirect }, `further` more parameters, as prompt. */
export async function authorize(iss, app, scope, launch = null, further = {}) {
  const answer = await fetch(`${iss}/.well-known/smart-configuration`);
  if (!answer.ok) throw new LaunchProblem("The record system that opened this page does not say how to sign in.");
  const known = await answer.json();
  const verifier = random(), state = random();
  sessionStorage.setItem(`${LAUNCH} ${state}`, JSON.stringify({ iss, verifier, token: known.token_endpoint }));
  const challenge = text(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
  const asked = {
    response_type: "code", client_id: app.client, redirect_uri: app.redirect, aud: iss, state, scope,
    code_challenge: challenge, code_challenge_method: "S256", ...(launch ? { launch } : {}), ...further,
  };
  location.assign(`${known.authorization_endpoint}?${new URLSearchParams(asked)}`);
}

/** The session that the code in this page's address stands for. */
export async function complete(app, asked) {
  const key = `${LAUNCH} ${asked.get("state")}`;
  const kept = JSON.parse(sessionStorage.getItem(key) ?? "null");
  sessionStorage.removeItem(key);
  history.replaceState(null, "", new URL(app.redirect).pathname);
  if (asked.has("error")) throw new LaunchProblem(refusals[asked.get("error")] ?? `It was not allowed: ${asked.get("error")}.`);
  if (!kept) throw new LaunchProblem("That launch was finished before. Start again.");
  const session = new Session(app, kept.iss, kept.token);
  await session.collect({
    grant_type: "authorization_code", code: asked.get("code"), redirect_uri: app.redirect, code_verifier: kept.verifier,
  });
  return session;
}

const refusals = {
  access_denied: "You did not allow it, so nothing is shown.",
  login_required: "Your sign-in has ended.",
};

export class Session {
  constructor(app, iss, endpoint) {
    Object.assign(this, { app, iss, endpoint, said: {}, until: 0, grant: null });
  }

  /** The session of this tab from before, if its token still serves. */
  static restored(app) {
    const kept = JSON.parse(sessionStorage.getItem(app.client) ?? "null");
    if (!kept || (kept.until < Date.now() && !kept.said.refresh_token)) return null;
    return Object.assign(new Session(app, kept.iss, kept.endpoint), { said: kept.said, until: kept.until });
  }

  keep() {
    const { iss, endpoint, said, until } = this;
    sessionStorage.setItem(this.app.client, JSON.stringify({ iss, endpoint, said, until }));
  }

  forget() {
    sessionStorage.removeItem(this.app.client);
  }

  /** A token response, taken over what was said before: a refreshed one repeats no context. */
  async collect(form) {
    const body = new URLSearchParams({ ...form, client_id: this.app.client });
    const answer = await fetch(this.endpoint, { method: "POST", body });
    const said = await answer.json();
    if (!answer.ok) {
      this.forget();
      throw new LaunchProblem(`The server refused: ${said.error}. Start again.`);
    }
    this.said = { ...this.said, ...said };
    this.until = Date.now() + 1000 * Math.max(0, (said.expires_in ?? 300) - 15);
    this.keep();
  }

  get patient() {
    return this.said.patient ?? null;
  }

  /** Who it is, by the id token: { fhirUser, name, auth_time }. */
  get user() {
    return this.said.id_token ? claims(this.said.id_token) : {};
  }

  get token() {
    return this.said.access_token;
  }

  async renewed() {
    if (this.until > Date.now()) return;
    if (!this.said.refresh_token) throw new LaunchProblem("Your access has ended. Start again.");
    // one at a time: a refresh token serves once
    this.renewing ??= this.collect({ grant_type: "refresh_token", refresh_token: this.said.refresh_token })
      .finally(() => { this.renewing = null; });
    await this.renewing;
  }

  /** fetch with the token; addresses may be relative to the FHIR base. */
  async fetch(address, options = {}) {
    await this.renewed();
    const url = /^https?:/.test(address) ? address : `${this.iss}/${address}`;
    const headers = { Accept: "application/fhir+json", ...options.headers, Authorization: `Bearer ${this.token}` };
    if (this.grant) headers["Emergency-Grant"] = this.grant;
    return fetch(url, { ...options, headers });
  }

  /** The same, up to `tries` times more while the answer is one of `busy`, as soon as it says, within five seconds. */
  async patiently(address, options, tries, busy = [503]) {
    for (let tried = 0; ; tried += 1) {
      const answer = await this.fetch(address, options);
      if (tried === tries || !busy.includes(answer.status)) return answer;
      await new Promise((done) => setTimeout(done, 1000 * Math.min(5, Number(answer.headers.get("Retry-After")) || 1)));
    }
  }
}
