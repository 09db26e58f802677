// A report as its source gives it: text in the page, a PDF in a frame or a tab, fetched under the same decision.
import { SECONDARY, button, made } from "../dom.js";
import { day } from "./studies.js";

const STATUS = {
  registered: "announced", partial: "partial", preliminary: "preliminary, not yet verified", final: "final", amended: "amended", corrected: "corrected", appended: "appended",
  cancelled: "cancelled", "entered-in-error": "entered in error",
};

/** `base` is the address of the archive that holds the study: a document that is elsewhere is fetched through it. */
export function showReport(report, archive, base) {
  const body = made("div", { class: "body" });
  const element = made("article", { class: "report" },
    made("h3", {}, report.code?.text ?? report.code?.coding?.[0]?.display ?? "Report"),
    made("p", { class: "facts" }, [day(report.issued ?? report.effectiveDateTime), STATUS[report.status] ?? report.status, who(report)].filter(Boolean).join(" · ")),
    report.conclusion ? made("p", { class: "conclusion" }, made("strong", {}, "Conclusion: "), report.conclusion) : null,
    body);
  const forms = report.presentedForm ?? [];
  if (!forms.length && !report.conclusion) body.append(made("p", { class: "quiet" }, "The report is registered without its text. Its source holds it."));
  forms.forEach((form, at) => present({ ...form, url: reachable(form.url, base && `${base}/reports/${report.id}/${at + 1}`) }, body, archive));
  return element;
}

/** This page asks its own server alone; a source that is elsewhere is asked by that. */
function reachable(url, through) {
  return url && new URL(url, location.origin).origin !== location.origin ? through : url;
}

const who = (report) => (report.resultsInterpreter ?? report.performer ?? []).map((one) => one.display).filter(Boolean).join(", ");

/** Text at once, since it is short; anything else when it is asked for. */
function present(form, place, archive) {
  const title = form.title ?? "report";
  if (/^text\/plain/.test(form.contentType ?? "")) {
    const text = made("pre", { class: "report-text", tabindex: "0", role: "region", "aria-label": title }, "Fetching the report from its source…");
    place.append(text);
    fetched(form, archive).then((blob) => blob.text()).then((words) => { text.textContent = words; }).catch((problem) => {
      text.replaceWith(made("p", { class: "notice", role: "alert" }, `The report cannot be shown now. ${problem.message}`));
    });
    return;
  }
  const here = made("div", {});
  const open = button(`Show ${title}${form.contentType === "application/pdf" ? " (PDF)" : ""}`, async () => {
    open.disabled = true;
    try {
      const url = URL.createObjectURL(new Blob([await fetched(form, archive)], { type: form.contentType }));
      here.replaceChildren(made("p", {}, made("a", { href: url, target: "_blank", download: navigator.pdfViewerEnabled ? null : `${title}.pdf` }, "Open it in a tab of its own")),
        form.contentType === "application/pdf" && navigator.pdfViewerEnabled ? made("iframe", { src: url, title }) : null);
    } catch (problem) {
      here.replaceChildren(made("p", { class: "notice", role: "alert" }, `The report cannot be shown now. ${problem.message}`));
    } finally {
      open.disabled = false;
    }
  }, { class: SECONDARY });
  place.append(open, here);
}

/** What is inside the resource, or what its source answers. */
async function fetched(form, archive) {
  if (form.data) return new Blob([Uint8Array.from(atob(form.data), (one) => one.charCodeAt(0))], { type: form.contentType });
  if (!form.url) throw new Error("Its source gives no address for it.");
  return archive.blob(form.url, form.contentType ?? "*/*");
}
