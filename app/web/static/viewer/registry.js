// What the viewer asks of the FHIR interface: ordinary searches and reads, as any other app could make them.

const NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number";
const ODS = "https://fhir.nhs.uk/Id/ods-organization-code";
const REASONS = "https://imaging-registry.example/fhir/CodeSystem/registry-decision-reason";
const PAGE = 100;

/** An answer that is no success. `text` is the server's own sentence, `status` the HTTP status, `code` the issue's. */
export class Refused extends Error {
  constructor(status, outcome) {
    const issue = outcome?.issue?.[0] ?? {};
    super(issue.details?.text ?? issue.diagnostics ?? `the server answered ${status}`);
    Object.assign(this, { status, code: issue.code, details: issue.details?.coding ?? [] });
  }

  /** The server says openly that there is no relationship; it says nothing of that kind about what is withheld. */
  get stranger() {
    return this.status === 403 && this.details.some((one) => one.system === REASONS && one.code === "NO_RELATIONSHIP");
  }
}

export class Registry {
  constructor(session) {
    this.session = session;
  }

  async json(address, options) {
    const answer = await this.session.fetch(address, options);
    const said = await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(answer.status, said);
    return said;
  }

  patient(id) {
    return this.json(`Patient/${encodeURIComponent(id)}`);
  }

  /** Patients of the organisation, by name or NHS number: [Patient]. */
  async patients(sought) {
    const digits = sought.replace(/\s/g, "");
    const query = new URLSearchParams({ _count: 20, _sort: "family" });
    if (/^\d{10}$/.test(digits)) query.set("identifier", `${NHS_NUMBER}|${digits}`);
    else if (sought.trim()) query.set("name", sought.trim().replace(/[\\$|]/g, "").replace(/,/g, "\\,"));
    return resources(await this.json(`Patient?${query}`), "Patient");
  }

  /** Each page of a patient's studies as it comes: { studies, about }, where `about` maps references to what was included. */
  async* studies(patient) {
    const query = new URLSearchParams({ ...about(patient), _sort: "-started", _count: PAGE, _summary: "true" });
    for (const [name, value] of [["_include", "ImagingStudy:endpoint"], ["_include:iterate", "Endpoint:organization"]]) query.append(name, value);
    for await (const bundle of this.pages(`ImagingStudy?${query}`)) {
      yield { studies: resources(bundle, "ImagingStudy"), about: included(bundle) };
    }
  }

  async* reports(patient) {
    const query = new URLSearchParams({ ...about(patient), _sort: "-date", _count: PAGE });
    for await (const bundle of this.pages(`DiagnosticReport?${query}`)) yield resources(bundle, "DiagnosticReport");
  }

  study(id) {
    return this.json(`ImagingStudy/${encodeURIComponent(id)}`);
  }

  /** Why the asker sees what is seen: { "ImagingStudy/1": { reasons, expires } }. Of what is withheld nothing is said. */
  async reasons(patient) {
    const said = await this.json(`ImagingStudy/$explain-access?${new URLSearchParams({ patient: `Patient/${patient}` })}`);
    const found = {};
    for (const { part } of said.parameter ?? []) {
      const value = (name, kind) => part.filter((one) => one.name === name).map((one) => one[kind]);
      const [study] = value("study", "valueReference");
      if (study) found[study.reference] = { reasons: value("reason", "valueCode"), expires: value("expires", "valueInstant")[0] };
    }
    return found;
  }

  /** How each archive that is read stands: [{ name, state, said }], the server's own words. Names no patient. */
  async health(codes) {
    const found = await this.json("Endpoint/$source-health");
    return (found.parameter ?? []).filter((one) => one.name === "source").map(({ part }) => {
      const value = (name, kind) => part.find((one) => one.name === name)?.[kind];
      const code = value("organization", "valueReference")?.identifier?.value;
      const name = codes[code] ?? code ?? value("endpoint", "valueReference")?.reference ?? "A source";
      return { name: name.replace(" (fictional)", ""), state: value("state", "valueCode"), said: value("said", "valueString") };
    });
  }

  /** Emergency access: { id, patient, until }. `who` is { id } or { number }. */
  async breakGlass(who, { reason, text }) {
    const named = who.id ? [] : [{ name: "patient", valueIdentifier: { system: NHS_NUMBER, value: who.number } }];
    const parameter = [...named, { name: "reason", valueCode: reason }, { name: "text", valueString: text }];
    const said = await this.operate(who.id ? `Patient/${who.id}/$break-glass` : "Patient/$break-glass", parameter);
    const value = (name, kind) => said.parameter.find((one) => one.name === name)[kind];
    return { id: value("grant", "valueString"), until: value("until", "valueInstant"), patient: value("patient", "valueReference").reference.replace("Patient/", "") };
  }

  endBreakGlass(patient, grant) {
    return this.operate(`Patient/${patient}/$end-break-glass`, [{ name: "grant", valueString: grant }]);
  }

  operate(address, parameter) {
    return this.json(address, { method: "POST", headers: { "Content-Type": "application/fhir+json" }, body: JSON.stringify({ resourceType: "Parameters", parameter }) });
  }

  /** The trusts by their ODS codes, for studies whose archive is not told: { RXB: "…" }. */
  async organisations() {
    const found = {};
    for await (const bundle of this.pages("Organization?_count=200&_elements=name,identifier")) {
      for (const one of resources(bundle, "Organization")) {
        const code = one.identifier?.find((name) => name.system === ODS)?.value;
        if (code) found[code] = one.name;
      }
    }
    return found;
  }

  async* pages(address) {
    for (let next = address; next;) {
      const bundle = await this.json(next);
      yield bundle;
      next = bundle.link?.find((one) => one.relation === "next")?.url;
    }
  }
}

/** A patient is { id } or, where the id is not known, { number }. */
export function about({ id, number }) {
  return id ? { patient: `Patient/${id}` } : { "patient.identifier": `${NHS_NUMBER}|${number}` };
}

export function nhsNumber(patient) {
  return patient.identifier?.find((one) => one.system === NHS_NUMBER)?.value ?? "";
}

/** 999 123 4567, kept together. */
export const spaced = (number) => number.replace(/^(\d{3})(\d{3})(\d{4})$/, "$1\u00a0$2\u00a0$3");

/** Ten digits of which the last is the check digit of the others (modulus 11). */
export function isNhsNumber(text) {
  if (!/^\d{10}$/.test(text)) return false;
  const sum = [...text.slice(0, 9)].reduce((total, digit, at) => total + digit * (10 - at), 0);
  return (11 - (sum % 11)) % 11 === Number(text[9]);
}

const resources = (bundle, type) =>
  (bundle.entry ?? []).filter((one) => one.search?.mode === "match" && one.resource.resourceType === type).map((one) => one.resource);

const included = (bundle) => Object.fromEntries((bundle.entry ?? []).filter((one) => one.search?.mode === "include")
  .map((one) => [`${one.resource.resourceType}/${one.resource.id}`, one.resource]));
