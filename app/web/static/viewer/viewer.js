// The clinician's view of one patient's imaging across hospitals: a SMART app over the public FHIR interface, and nothing else.
import { BUTTON, SECONDARY, button, focusOn, made } from "../dom.js";
import { authorize, complete, LaunchProblem, Session } from "../smart.js";
import { countdown, emergencyForm, noRelationship, nothingToShow, refused, sources } from "./absence.js";
import { Archive } from "./archive.js";
import { detail } from "./detail.js";
import { isNhsNumber, nhsNumber, Registry, spaced } from "./registry.js";
import { attach, day, row } from "./studies.js";
import { Timeline } from "./timeline.js";

const place = document.getElementById("viewer");
const { client, iss, ohif } = place.dataset;
const app = { client, redirect: `${location.origin}/viewer` };
const BY_ITSELF = "openid fhirUser profile online_access user/*.rs";
const OF_RECORD = "launch openid fhirUser profile online_access patient/*.rs user/Organization.rs user/CodeSystem.rs";
const GRANT = "viewer-grant";
const PATIENT = "viewer-patient";

const begin = (launch = null, further = {}) => authorize(iss, app, launch ? OF_RECORD : BY_ITSELF, launch, further).catch(welcome);

function welcome(problem) {
  place.replaceChildren(made("section", { class: "welcome" },
    problem ? made("p", { class: "notice", role: "alert" }, problem.message) : null,
    made("p", { class: "lead" }, "See a patient’s imaging across all hospitals of the region: what there is, the pictures, the reports, and why something is not there."),
    button("Sign in", () => begin()),
    made("p", { class: "quiet" }, "For clinicians. Record systems open it from a patient’s record. Pictures are for information, not for diagnosis.")));
}

class Viewer {
  constructor(session) {
    this.session = session;
    this.registry = new Registry(session);
    this.archive = new Archive(session);
    window.addEventListener("hashchange", () => this.route());
  }

  start() {
    const sent = sessionStorage.getItem(PATIENT);
    if (this.session.patient) return this.open({ id: this.session.patient });
    return sent ? this.open(JSON.parse(sent)) : this.choose();
  }

  // Which patient ----------------------------------------------------------------------------------------------------

  choose() {
    this.leave();
    const found = made("div", { class: "found", "aria-live": "polite" });
    const sought = made("input", { type: "text", class: "nhsuk-input", id: "sought", autocomplete: "off", spellcheck: "false" });
    const look = async () => {
      found.replaceChildren(made("p", { class: "quiet" }, "Looking…"));
      const words = sought.value;
      try {
        const patients = await this.registry.patients(words);
        if (words === sought.value) found.replaceChildren(this.offered(patients, words));
      } catch (problem) {
        found.replaceChildren(this.trouble(problem, look));
      }
    };
    place.replaceChildren(made("section", { class: "choose" },
      made("h2", { id: "choose-heading" }, "Which patient?"),
      made("form", { class: "row", role: "search", onsubmit: (event) => { event.preventDefault(); look(); } },
        made("div", { class: "grow" }, made("label", { class: "nhsuk-label", for: "sought" }, "Name or NHS number"), sought),
        made("button", { class: BUTTON }, "Find")),
      found));
    sought.focus();
    look();
  }

  offered(patients, words) {
    const digits = words.replace(/\s/g, "");
    if (!patients.length && /^\d{10}$/.test(digits)) {
      if (!isNhsNumber(digits)) return made("p", { class: "notice" }, "This is not an NHS number: its last digit does not fit the others. Check it and try again.");
      return made("div", {}, made("p", { class: "notice" }, `Nobody with the number ${spaced(digits)} is recorded as being in your organisation’s care.`),
        button("What can I do?", () => this.open({ number: digits }), { class: SECONDARY }));
    }
    if (!patients.length) {
      return made("p", { class: "notice" }, words.trim()
        ? "No patient in your organisation’s care has this name. For somebody who is not in its care, enter the whole NHS number."
        : "No patient is recorded as being in your organisation’s care.");
    }
    return made("ul", { class: "patients" }, patients.map((one) => made("li", {},
      made("button", { type: "button", onclick: () => this.open({ id: one.id }) },
        made("strong", {}, name(one)), made("span", {}, `born ${day(one.birthDate)} · NHS ${spaced(nhsNumber(one)) || "number not recorded"}`)))));
  }

  leave() {
    sessionStorage.removeItem(PATIENT);
    sessionStorage.removeItem(GRANT);
    this.session.grant = null;
    this.strip?.stop();
    this.strip = null;
    this.archive.forget();
    this.turn = (this.turn ?? 0) + 1;
    if (location.hash) history.replaceState(null, "", location.pathname);
  }

  // One patient ------------------------------------------------------------------------------------------------------

  /** `who` is { id } or { number }. */
  async open(who) {
    const turn = this.turn = (this.turn ?? 0) + 1;
    this.who = who;
    this.shown = null;
    sessionStorage.setItem(PATIENT, JSON.stringify(who));
    this.restoreGrant(who);
    this.rows = [];
    this.reports = [];
    this.why = {};
    this.banner = made("div", { class: "person" }, made("p", { class: "skeleton" }, made("span")));
    this.timeline = new Timeline();
    this.right = made("div", { class: "right" });
    this.below = made("div", { class: "below" });
    place.replaceChildren(this.banner, made("div", { class: "panes" }, made("div", { class: "left" }, this.timeline.element, this.below), this.right));
    this.named = "this patient";
    const patient = who.id ? this.patient(who.id, turn) : this.unnamed(who.number);
    const codes = this.registry.organisations().catch(() => ({}));
    this.health(turn, codes);
    try {
      await this.load(who, turn, codes);
      await patient;
      if (turn === this.turn && !this.rows.length) this.nothing();
    } catch (problem) {
      await patient;
      if (turn === this.turn) this.absent(problem);
    }
  }

  async load(who, turn, codes) {
    const reports = this.loadReports(who, turn);
    let about = {};
    let first = true;
    const pages = this.registry.studies(who);
    for (let page = await pages.next(); !page.done;) {
      if (turn !== this.turn) return;
      about = { ...about, ...page.value.about };
      const known = first && page.value.studies.every((one) => one.endpoint?.length) ? {} : await codes;
      this.rows.push(...page.value.studies.map((one) => row(one, about, known)));
      first = false;
      const coming = pages.next();
      attach(this.rows, this.reports);
      this.timeline.show(this.rows, page.value.studies.length === 100);
      if (location.hash) this.route();
      page = await coming;
    }
    if (turn !== this.turn) return;
    this.timeline.show(this.rows);
    if (this.rows.length && !location.hash && matchMedia("(min-width: 64rem)").matches) {
      history.replaceState(null, "", `#study/${this.rows[0].id}`);
    }
    await reports;
    if (who.id) this.registry.reasons(who.id).then((found) => { this.why = found; this.route(true); }).catch(() => null);
    this.route(true);
  }

  async loadReports(who, turn) {
    try {
      for await (const page of this.registry.reports(who)) {
        if (turn !== this.turn) return;
        this.reports.push(...page);
        attach(this.rows, this.reports);
        if (this.rows.length) this.timeline.draw();
      }
    } catch { /* the studies say what is wrong */ }
  }

  async patient(id, turn) {
    try {
      const one = await this.registry.patient(id);
      if (turn !== this.turn) return;
      this.named = name(one);
      this.banner.replaceChildren(
        made("p", { class: "who" }, made("strong", {}, this.named), one.deceasedDateTime || one.deceasedBoolean ? made("span", { class: "tag warn" }, "deceased") : null),
        made("p", { class: "facts" }, [`born ${day(one.birthDate)}`, one.gender, `NHS ${spaced(nhsNumber(one)) || "number not recorded"}`].filter(Boolean).join(" · ")),
        this.others());
    } catch {
      this.unnamed(null);
    }
  }

  unnamed(number) {
    this.named = "this patient";
    this.banner.replaceChildren(made("p", { class: "who" }, made("strong", {}, number ? `NHS ${spaced(number)}` : "Patient")), this.others());
  }

  /** A launch from a record is about its patient; by itself the viewer may go on to another. */
  others() {
    return this.session.patient ? null : button("Another patient", () => this.choose(), { class: "link" });
  }

  async health(turn, codes) {
    const found = await this.registry.health(await codes).catch(() => []);
    if (turn === this.turn) this.below.replaceChildren(sources(found));
  }

  nothing() {
    this.timeline.element.hidden = true;
    this.right.replaceChildren(nothingToShow(this.named));
  }

  absent(problem) {
    this.timeline.element.hidden = true;
    if (!problem.stranger) {
      this.right.replaceChildren(this.trouble(problem, () => this.open(this.who)));
      return;
    }
    this.below.hidden = true;
    const emergency = this.session.grant ? null : emergencyForm(this.registry, this.named, (asked) => this.breakGlass(asked));
    this.right.replaceChildren(noRelationship(this.named, emergency));
    focusOn(this.right.querySelector("h2"));
  }

  trouble(problem, again) {
    if (problem.status === 401 || problem instanceof LaunchProblem) {
      this.session.forget();
      return refused({ status: 401, message: problem.message }, () => begin());
    }
    return refused(problem, again);
  }

  // Emergency access ---------------------------------------------------------------------------------------------------

  async breakGlass(asked) {
    try {
      const grant = await this.registry.breakGlass(this.who, asked);
      sessionStorage.setItem(GRANT, JSON.stringify(grant));
      await this.open({ id: grant.patient });
    } catch (problem) {
      if (problem.status === 401) { // signed in too long ago for this
        begin(null, { max_age: "0" });
        return;
      }
      throw problem;
    }
  }

  restoreGrant(who) {
    this.strip?.stop();
    this.strip = null;
    document.querySelector(".emergency-strip")?.remove();
    const grant = JSON.parse(sessionStorage.getItem(GRANT) ?? "null");
    this.session.grant = null;
    if (!grant || grant.patient !== who.id || new Date(grant.until) < new Date()) return;
    this.session.grant = grant.id;
    const over = () => {
      sessionStorage.removeItem(GRANT);
      this.archive.forget();
      this.open(who);
    };
    this.strip = countdown(grant.until, over, async () => {
      await this.registry.endBreakGlass(who.id, grant.id).catch(() => null);
      over();
    });
    place.before(this.strip.element);
  }

  // Which study --------------------------------------------------------------------------------------------------------

  /** What the address names. `quietly`: nobody has chosen anything, so the focus stays where it is. */
  route(quietly = false) {
    const id = location.hash.startsWith("#study/") ? decodeURIComponent(location.hash.slice(7)) : null;
    const one = this.rows?.find((other) => other.id === id);
    place.classList.toggle("reading", Boolean(one));
    this.timeline?.mark(one?.id ?? null);
    if (!one) {
      this.shown = null;
      if (this.rows?.length) this.right.replaceChildren();
      if (!quietly) this.timeline?.element.querySelector("h2").scrollIntoView();
    } else if (this.shown?.row !== one) {
      this.show(one, quietly);
    } else {
      this.shown.tell(this.why[one.reference]);
    }
  }

  async show(one, quietly) {
    const shown = this.shown = { row: one, ...detail(one, this.archive, { ohif }) };
    shown.tell(this.why[one.reference]);
    this.right.replaceChildren(shown.element);
    if (!quietly) {
      this.right.scrollIntoView();
      focusOn(shown.heading);
    }
    try {
      one.whole ??= await this.registry.study(one.id);
      if (shown === this.shown) shown.fill(one.whole);
    } catch (problem) {
      shown.place.replaceChildren(problem.status === 404
        ? made("p", { class: "notice", role: "alert" }, "This study may no longer be shown to you, or its source has withdrawn it since the list was made.")
        : this.trouble(problem, () => this.show(one, true)));
    }
  }
}

function name(patient) {
  const one = patient.name?.[0] ?? {};
  return one.text ?? ([...(one.given ?? []), one.family].filter(Boolean).join(" ") || "Name not recorded");
}

const asked = new URLSearchParams(location.search);
const go = (session) => new Viewer(session).start();
if (location.pathname === "/viewer/launch" && asked.get("iss")?.replace(/\/$/, "") === iss && asked.has("launch")) begin(asked.get("launch"));
else if (location.pathname === "/viewer/launch") welcome(new LaunchProblem("This viewer is opened by a record system that uses this registry. Sign in to choose a patient yourself."));
else if (asked.has("code") || asked.has("error")) complete(app, asked).then(go).catch(welcome);
else {
  // a link may name a patient, as that of a work list does: ?patient=ID. Whoever follows it may be somebody else than before.
  const named = asked.get("patient");
  if (named) sessionStorage.setItem(PATIENT, JSON.stringify({ id: named }));
  const session = named ? null : Session.restored(app);
  if (session) go(session);
  else if (named) begin();
  else welcome();
}
