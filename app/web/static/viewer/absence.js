// What is not there, and why, as far as policy lets it be told; and what may lawfully be done about it.
import { SECONDARY, WARNING, button, focusOn, made } from "../dom.js";

const LEAST = 15; // characters of the reason for emergency access
const { hours, reviewDays } = document.getElementById("viewer").dataset;
const REASONS = "CodeSystem?url=https://imaging-registry.example/fhir/CodeSystem/registry-emergency-reason";

/** Nobody at this organisation treats the patient, as far as is recorded. The same for a patient whom nobody knows. */
export function noRelationship(name, emergency) {
  const element = made("section", { class: "absent", "aria-labelledby": "absent-heading" },
    made("h2", { id: "absent-heading" }, "No care relationship is recorded"),
    made("p", { class: "lead" }, `Nothing on record makes your organisation part of ${name}’s care, so the registry does not say whether there is any imaging. This is not the same as “no imaging”.`),
    made("h3", {}, "How a relationship comes about"),
    made("ul", {},
      made("li", {}, made("strong", {}, "Treatment: "), "when your record system opens an episode of care (a referral that was accepted, an attendance, an admission), access opens by itself. Ask whoever registers patients to check that the episode has reached the registry."),
      made("li", {}, made("strong", {}, "A planned visit: "), "a booked appointment opens access shortly before it."),
      made("li", {}, made("strong", {}, "A team meeting: "), "the meeting’s coordinator puts the patient on its list, and you on its team."),
      made("li", {}, made("strong", {}, "An urgent referral "), "to your organisation opens access for a limited time.")),
    emergency);
  return element;
}

/** A relationship is there, and nothing is shown. Withheld and never made look the same, on purpose. */
export function nothingToShow(name) {
  return made("section", { class: "absent" },
    made("p", { class: "lead" }, `No study of ${name} is shown to you.`),
    made("p", {}, "Either no hospital of the region has registered one, or what there is may not be shown to you: a patient can choose what is shared, and the registry does not tell one from the other. The patient can be asked. What follows says which sources report to the registry."));
}

/** The registry answered with something else than studies. */
export function refused(problem, again) {
  const ended = problem.status === 401;
  return made("section", { class: "absent", role: "alert" },
    made("h2", {}, ended ? "Your access has ended" : "The studies could not be shown"),
    made("p", { class: "lead" }, ended ? "Sign in again to go on." : sentence(problem.message)),
    button(ended ? "Sign in again" : "Try again", again));
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.?$/, ".")}`;

/** Which sources report, and which are behind: what they hold since then is not in the list. `health` as Endpoint/$source-health says. */
export function sources(health) {
  const behind = health.filter((one) => one.state !== "ok");
  const said = (one) => made("li", {}, `The archive of ${one.name} ${one.said}.`);
  return made("section", { class: "sources", "aria-labelledby": "sources-heading" },
    made("h2", { id: "sources-heading" }, "What may be missing"),
    behind.length ? made("div", { class: "notice", role: "status" },
      made("p", {}, made("strong", {}, behind.length === 1 ? "A source is silent or behind." : "Some sources are silent or behind.")),
      made("ul", {}, behind.map(said))) : null,
    health.length && !behind.length ? made("p", {}, "All archives that the registry reads are up to date.") : null,
    health.length ? made("details", {}, made("summary", {}, "All sources"), made("ul", {}, health.map(said))) : null,
    made("p", { class: "quiet" }, "Studies that may not be shown to you, for example because of a patient’s choice, are never listed or counted, and the list looks as if they did not exist. Hospitals outside the region do not report here."));
}

/** The form that breaks the glass, behind a warning. `open` is called with { reason, text, hours }. */
export function emergencyForm(registry, name, open) {
  const place = made("div", { class: "emergency" });
  const start = button("Emergency access…", async () => {
    start.disabled = true;
    const reasons = await codes(registry);
    place.replaceChildren(form(reasons));
    focusOn(place.querySelector("h3"));
  }, { class: SECONDARY });
  place.append(made("h3", {}, "In an emergency"), made("p", {}, "Where waiting would harm the patient, you can open access yourself. It is recorded, and reviewed."), start);

  const form = (reasons) => {
    const problem = made("div", { class: "nhsuk-error-summary", role: "alert", hidden: true });
    const radios = reasons.map((one, at) => made("div", { class: "choice" },
      made("input", { type: "radio", name: "reason", id: `reason-${at}`, value: one.code, required: true }), made("label", { for: `reason-${at}` }, one.display)));
    const text = made("textarea", { class: "nhsuk-textarea", id: "emergency-text", rows: 3, minlength: LEAST, maxlength: 1000, "aria-describedby": "emergency-hint" });
    const sure = made("input", { type: "checkbox", id: "emergency-sure" });
    const send = made("button", { class: WARNING }, "Open emergency access");
    const wrong = (words, control) => {
      problem.replaceChildren(made("h4", {}, "It was not opened"), made("p", {}, control ? made("a", { href: `#${control.id}`, onclick: (event) => { event.preventDefault(); control.focus(); } }, words) : words));
      problem.hidden = false;
      focusOn(problem);
    };
    return made("form", { novalidate: true, onsubmit: async (event) => {
      event.preventDefault();
      const reason = radios.map((one) => one.querySelector("input")).find((one) => one.checked);
      if (!reason) return wrong("Choose a reason.", radios[0]?.querySelector("input"));
      if (text.value.trim().length < LEAST) return wrong(`Say why, in at least ${LEAST} characters.`, text);
      if (!sure.checked) return wrong("Confirm that you need this to treat the patient now.", sure);
      send.disabled = true;
      try {
        await open({ reason: reason.value, text: text.value.trim() });
      } catch (failure) {
        wrong(said(failure), null);
        send.disabled = false;
      }
    } },
    made("h3", {}, "Emergency access"),
    made("div", { class: "warning" }, made("p", {}, made("strong", {}, "Use this only where you must treat this patient now.")),
      made("ul", {},
        made("li", {}, `It opens the images and reports of ${name} to you alone, for ${hours} ${Number(hours) === 1 ? "hour" : "hours"}.`),
        made("li", {}, `The privacy officers of your organisation and of the hospitals concerned are told at once, and review it within ${reviewDays} working days. You will be asked to account for it.`),
        made("li", {}, "The patient can see that you did it, and why."),
        made("li", {}, "What the patient has refused to share stays withheld, unless the region or the patient’s choice says otherwise."))),
    problem,
    made("fieldset", { class: "nhsuk-fieldset field" }, made("legend", { class: "nhsuk-fieldset__legend" }, "Why is it an emergency?"), radios),
    made("div", { class: "field" }, made("label", { class: "nhsuk-label", for: "emergency-text" }, "What is happening, in your words"),
      made("p", { class: "quiet", id: "emergency-hint" }, `At least ${LEAST} characters. The privacy officers read this.`), text),
    made("div", { class: "choice field" }, sure, made("label", { for: "emergency-sure" }, "I need this to treat the patient now")),
    made("p", {}, send, button("Do not open it", () => { place.replaceChildren(start); start.disabled = false; start.focus(); }, { class: SECONDARY })));
  };
  return place;
}

async function codes(registry) {
  const found = await registry.json(REASONS).catch(() => null);
  return found?.entry?.[0]?.resource.concept ?? [];
}

function said(problem) {
  if (problem.status === 404) return "Emergency access cannot be opened for this patient. Check the NHS number; ask the hospital that holds the images by telephone.";
  if (problem.status === 429) return "Emergency access has been used too often in a short time. The privacy office has been told; ring them.";
  return sentence(problem.message);
}

/** The strip that runs for as long as emergency access lasts. */
export function countdown(until, onend, end) {
  const left = made("strong", {});
  const element = made("div", { class: "emergency-strip", role: "status" },
    made("span", {}, "Emergency access. Everything you open is reviewed. "), made("span", { "aria-hidden": "true" }, left), button("End it now", end, { class: "link" }));
  const tick = () => {
    const seconds = Math.round((new Date(until) - Date.now()) / 1000);
    if (seconds <= 0) {
      clearInterval(timer);
      onend();
      return;
    }
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
    left.textContent = hours ? `${hours} h ${String(minutes).padStart(2, "0")} min left. ` : `${minutes}:${String(seconds % 60).padStart(2, "0")} min left. `;
  };
  const timer = setInterval(tick, 1000);
  tick();
  return { element, stop: () => clearInterval(timer) };
}
