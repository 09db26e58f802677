// One study: its facts, why it may be seen, its series with thumbnails, the stack, and the report beside it.
import { SECONDARY, made } from "../dom.js";
import { Archive } from "./archive.js";
import { handOver } from "./handover.js";
import { showReport } from "./report.js";
import { Stack } from "./stack.js";
import { clock, number } from "./studies.js";

const WITHOUT_PICTURES = ["SR", "KO", "PR", "DOC", "REG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SEG", "ECG"];
const THUMBNAIL = 96;
const MEANINGS = JSON.parse(document.getElementById("viewer").dataset.reasons);

/** The whole of one study. `ohif`: its address, where there is one. What comes later is put in by `fill` (the
    study with its series) and `tell` (why it may be seen, and reports), without touching the picture that is looked at. */
export function detail(row, archive, { ohif = null } = {}) {
  const heading = made("h2", { id: "study-heading" }, row.title);
  const place = made("div", { class: "pictures" }, made("p", { class: "quiet", role: "status" }, "Loading series…"));
  const reports = made("div", { class: "reports" });
  const why = made("div", {});
  const element = made("section", { class: "study", "aria-labelledby": "study-heading" },
    made("p", { class: "back" }, made("a", { href: "#studies" }, "Back to the studies")),
    heading,
    made("p", { class: "facts" }, [row.day, row.modalities.join(", "), row.sites.join(", "), row.sources.join(" and "), row.images ? number(row.images, "image") : null].filter(Boolean).join(" · ")),
    made("div", { class: "beside" }, place, reports),
    why);
  showReports(row, archive, reports);
  let told = row.reports.length;
  if (ohif && row.uid && Archive.base(row)) heading.after(made("p", {}, made("a", { class: SECONDARY, href: ohif, onclick: () => handOver(row, archive.session) }, "Open in OHIF")));
  return {
    element,
    heading,
    place,
    fill: (study) => fill(place, row, study, archive),
    tell: (reasons) => {
      if (reasons && !why.hasChildNodes()) why.append(made("details", { class: "why" }, made("summary", {}, "Why you see this"), explanation(reasons)));
      if (row.reports.length !== told) showReports(row, archive, reports);
      told = row.reports.length;
    },
  };
}

function explanation({ reasons, expires }) {
  return made("div", {}, made("ul", {}, reasons.map((code) => made("li", {}, MEANINGS[code] ?? code))),
    expires ? made("p", { class: "quiet" }, `Decided now, good until ${clock(expires)}, and decided again at every picture. Who looked is recorded, and the patient can ask for it.`) : null);
}

function showReports(row, archive, place) {
  place.replaceChildren();
  if (!row.reports.length) {
    place.append(made("h3", {}, "Report"), made("p", { class: "quiet" }, "No report of this study is registered here. Its source may hold one."));
    return;
  }
  for (const report of row.reports) place.append(showReport(report, archive, Archive.base(row)));
}

/** The series, and the first of them that has pictures. */
function fill(place, row, study, archive) {
  const base = Archive.base(row);
  const series = (study.series ?? []).slice().sort((a, b) => (a.number ?? 0) - (b.number ?? 0));
  if (!base || !row.uid) {
    const words = row.status === "registered" ? "This study has been announced; its pictures are not stored yet."
      : row.status === "cancelled" ? "Its source has withdrawn this study. That there was one stays on record."
        : "Where the pictures are kept is not told to you. You may know of the study; fetching it needs a clinical role, or the archive has withdrawn it.";
    place.replaceChildren(made("p", { class: "notice" }, words), table(series));
    return;
  }
  const screen = made("div", { class: "screen-place" });
  const choose = made("div", { class: "series", role: "group", "aria-label": "Series" });
  const open = (one, pressed) => {
    for (const other of choose.children) other.setAttribute("aria-pressed", String(other === pressed));
    if (WITHOUT_PICTURES.includes(one.modality?.code)) {
      screen.replaceChildren(made("p", { class: "notice" }, "This series holds no pictures: it is a report, a measurement or a waveform. A workstation can open it."));
      return;
    }
    const stack = new Stack(archive, base, row.uid, one);
    screen.replaceChildren(stack.element);
    stack.open();
  };
  const buttons = series.map((one) => {
    const image = made("span", { class: "thumb" });
    const pressed = made("button", { type: "button", "aria-pressed": "false", onclick: () => open(one, pressed) }, image,
      made("span", {}, made("strong", {}, one.description ?? one.bodySite?.display ?? `Series ${one.number ?? ""}`), made("span", {}, `${one.modality?.code ?? ""} · ${number(one.numberOfInstances ?? one.instance?.length ?? 0, "image")}`)));
    thumbnail(image, base, row, one, archive);
    return pressed;
  });
  choose.append(...buttons);
  place.replaceChildren(choose, screen);
  const first = series.findIndex((one) => !WITHOUT_PICTURES.includes(one.modality?.code));
  if (series.length) open(series[Math.max(0, first)], buttons[Math.max(0, first)]);
  else place.replaceChildren(made("p", { class: "notice" }, "No series of this study is registered yet."));
}

async function thumbnail(place, base, row, series, archive) {
  const middle = series.instance?.[Math.floor((series.instance.length - 1) / 2)];
  if (!middle || WITHOUT_PICTURES.includes(series.modality?.code)) {
    place.textContent = series.modality?.code ?? "–";
    return;
  }
  try {
    const address = Archive.rendered(base, row.uid, series.uid, middle.uid, { size: THUMBNAIL });
    place.append(made("img", { src: await archive.picture(address), alt: "" }));
  } catch {
    place.textContent = series.modality?.code ?? "–";
  }
}

function table(series) {
  return series.length ? made("ul", {}, series.map((one) => made("li", {}, `${one.description ?? "Series"}, ${one.modality?.code ?? "kind not told"}, ${number(one.numberOfInstances ?? 0, "image")}`))) : null;
}
