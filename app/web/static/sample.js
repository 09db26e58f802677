// A public SMART app: who is signed in, whose record, which studies.
import { button, made, summary } from "./dom.js";
import { authorize, complete } from "./smart.js";

const place = document.getElementById("app");
const { client, iss } = place.dataset;
const app = { client, redirect: `${location.origin}/sample` };
const asked = new URLSearchParams(location.search);

const begin = (launch) =>
  authorize(iss, app, `${launch ? "launch" : "launch/patient"} openid fhirUser patient/*.rs`, launch);

async function told(session) {
  const read = async (path) => (await session.fetch(path)).json();
  const patient = await read(`Patient/${session.patient}`);
  const studies = await read(`ImagingStudy?patient=${session.patient}&_include=ImagingStudy:endpoint`);
  const found = (studies.entry ?? []).map((one) => one.resource);
  const endpoints = Object.fromEntries(found.filter((one) => one.resourceType === "Endpoint").map((one) => [`Endpoint/${one.id}`, one.name]));
  const rows = found.filter((one) => one.resourceType === "ImagingStudy").map((one) => made("li", {},
    `${one.description ?? (one.modality ?? []).map((code) => code.code).join(", ")}, ${(one.started ?? "").slice(0, 10)}, ` +
    `held by ${(one.endpoint ?? []).map((to) => endpoints[to.reference] ?? "an archive that is not told").join(", ") || "an archive that is not told"}`));
  place.replaceChildren(
    summary([
      ["Patient", `${patient.name?.[0]?.text ?? session.patient}, born ${patient.birthDate ?? "?"}`],
      ["Signed in as", session.user.fhirUser?.split("/fhir/")[1]],
      ["Encounter", session.said.encounter],
      ["Opened for", (session.said.fhirContext ?? []).map((one) => one.reference).join(", ")],
      ["May", session.said.scope],
    ]),
    made("h2", {}, rows.length ? "Studies" : "No study that you may see"),
    made("ul", {}, rows),
    button("Open for another patient", () => begin(null)),
  );
}

function start(note) {
  const words = note ?? "Signs you in at the registry, asks for a patient, and lists the patient’s studies.";
  place.replaceChildren(made("p", { class: "lead" }, words), button("Choose a patient", () => begin(null)));
}

if (location.pathname === "/sample/launch" && asked.get("iss") === iss) begin(asked.get("launch"));
else if (asked.has("code") || asked.has("error")) complete(app, asked).then(told).catch((problem) => start(problem.message));
else start();
