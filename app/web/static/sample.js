// A public SMART app: https://hl7.org/fhir/smart-app-launch/app-launch.html. Tokens stay in this page's memory.
const place = document.getElementById("app");
const { client, iss } = place.dataset;
const asked = new URLSearchParams(location.search);
const redirect = `${location.origin}/sample`;

const text = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const random = () => text(crypto.getRandomValues(new Uint8Array(32)));

function show(...parts) {
  place.replaceChildren(...parts);
}

function element(name, content, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...[content].flat());
  return made;
}

function summary(pairs) {
  const rows = pairs.filter(([, value]) => value).map(([name, value]) =>
    element("div", [element("dt", name), element("dd", value)]));
  return element("dl", rows, { className: "summary" });
}

async function begin(launch) {
  const known = await (await fetch(`${iss}/.well-known/smart-configuration`)).json();
  const verifier = random(), state = random();
  sessionStorage.setItem(state, JSON.stringify({ verifier, token: known.token_endpoint }));
  const challenge = text(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
  const context = launch ? "launch" : "launch/patient";
  const wanted = {
    response_type: "code", client_id: client, redirect_uri: redirect, aud: iss, state,
    scope: `${context} openid fhirUser patient/*.rs`, code_challenge: challenge, code_challenge_method: "S256",
    ...(launch ? { launch } : {}),
  };
  location.assign(`${known.authorization_endpoint}?${new URLSearchParams(wanted)}`);
}

async function finish(code, state) {
  const kept = JSON.parse(sessionStorage.getItem(state) ?? "null");
  sessionStorage.removeItem(state);
  history.replaceState(null, "", "/sample");
  if (!kept) return start("That launch was finished before.");
  const form = new URLSearchParams({
    grant_type: "authorization_code", code, redirect_uri: redirect, client_id: client, code_verifier: kept.verifier,
  });
  const answer = await fetch(kept.token, { method: "POST", body: form });
  const said = await answer.json();
  if (!answer.ok) return start(`The server refused: ${said.error}.`);
  const headers = { Authorization: `Bearer ${said.access_token}`, Accept: "application/fhir+json" };
  const read = async (path) => (await (await fetch(`${iss}/${path}`, { headers })).json());
  const patient = await read(`Patient/${said.patient}`);
  const studies = await read(`ImagingStudy?patient=${said.patient}&_include=ImagingStudy:endpoint`);
  const found = (studies.entry ?? []).map((one) => one.resource);
  const endpoints = Object.fromEntries(found.filter((one) => one.resourceType === "Endpoint").map((one) => [`Endpoint/${one.id}`, one.name]));
  const rows = found.filter((one) => one.resourceType === "ImagingStudy").map((one) => element("li",
    `${one.description ?? (one.modality ?? []).map((code) => code.code).join(", ")}, ${(one.started ?? "").slice(0, 10)}, ` +
    `held by ${(one.endpoint ?? []).map((to) => endpoints[to.reference] ?? "an archive that is not told").join(", ") || "an archive that is not told"}`));
  const user = JSON.parse(atob(said.id_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
  show(
    summary([
      ["Patient", `${patient.name?.[0]?.text ?? said.patient}, born ${patient.birthDate ?? "?"}`],
      ["Signed in as", user.fhirUser?.split("/fhir/")[1]],
      ["Encounter", said.encounter],
      ["Opened for", (said.fhirContext ?? []).map((one) => one.reference).join(", ")],
      ["May", said.scope],
    ]),
    element("h2", rows.length ? "Studies" : "No study that you may see"),
    element("ul", rows),
    again(),
  );
}

function again() {
  const button = element("button", "Open for another patient", { className: "button", type: "button" });
  button.addEventListener("click", () => begin(null));
  return button;
}

function start(note) {
  const button = element("button", "Choose a patient", { className: "button", type: "button" });
  button.addEventListener("click", () => begin(null));
  show(element("p", note ?? "Signs you in at the registry, asks for a patient, and lists the patient’s studies.", { className: "lead" }), button);
}

if (location.pathname === "/sample/launch" && asked.get("iss") === iss) begin(asked.get("launch"));
else if (asked.has("code")) finish(asked.get("code"), asked.get("state"));
else start(asked.has("error") ? `It was not allowed: ${asked.get("error")}.` : null);
