// A study as the timeline shows it, made from an ImagingStudy and what was included with it.

const MODALITIES = {
  CT: "CT", MR: "MRI", CR: "X-ray", DX: "X-ray", RG: "X-ray", US: "Ultrasound", NM: "Nuclear medicine", PT: "PET", MG: "Mammography",
  XA: "Angiography", RF: "Fluoroscopy", ECG: "ECG", ES: "Endoscopy", OP: "Eye photography", OPT: "OCT", SM: "Pathology slide",
  XC: "Photograph", OT: "Other", IO: "Dental X-ray", PX: "Dental panorama", BMD: "Bone density", DEXA: "Bone density", IVUS: "Intravascular ultrasound",
};
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** "3 Sep 1995", or as much of it as is recorded. FHIR dates may stop at the year or the month. */
export function day(text) {
  if (!text) return "Date not recorded";
  const [year, month, date] = text.slice(0, 10).split("-");
  if (!month) return year;
  const said = DAY.format(new Date(Date.UTC(year, month - 1, date ?? 1)));
  return date ? said : said.replace(/^\S+ /, "");
}

/** The instant as a clock shows it here: "14:05", with the day where it is not today. */
export function clock(instant) {
  const at = new Date(instant);
  const today = at.toDateString() === new Date().toDateString();
  return today ? TIME.format(at) : `${TIME.format(at)} on ${DAY.format(at)}`;
}

export const number = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** The row of the timeline. `about` maps references to Endpoints and Organizations, `codes` ODS codes to names. */
export function row(study, about, codes) {
  const endpoints = (study.endpoint ?? []).map((to) => about[to.reference]).filter(Boolean);
  const modalities = unique((study.modality ?? []).map((one) => MODALITIES[one.code] ?? one.display ?? one.code));
  const sites = unique((study.series ?? []).map((one) => one.bodySite?.display ?? one.bodySite?.code));
  return {
    id: study.id,
    reference: `ImagingStudy/${study.id}`,
    uid: study.identifier?.find((one) => one.system === "urn:dicom:uid")?.value.replace("urn:oid:", "") ?? null,
    started: study.started ?? "",
    year: study.started?.slice(0, 4) ?? "",
    day: day(study.started),
    modalities,
    sites,
    title: study.description ?? study.procedureCode?.[0]?.text ?? study.procedureCode?.[0]?.coding?.[0]?.display
      ?? ([...sites, ...modalities].join(" ") || "Imaging study"),
    sources: sources(study, endpoints, about, codes),
    endpoints,
    status: study.status,
    series: study.numberOfSeries ?? study.series?.length ?? 0,
    images: study.numberOfInstances ?? 0,
    reports: [],
  };
}

function sources(study, endpoints, about, codes) {
  const managing = endpoints.map((one) => about[one.managingOrganization?.reference]?.name ?? one.name);
  const issuing = study.identifier?.map((one) => one.assigner?.identifier?.value).filter(Boolean).map((code) => codes[code] ?? code) ?? [];
  return unique(managing.length ? managing : issuing).map((name) => name.replace(" (fictional)", ""));
}

/** Put each report to the studies that it names; those that name none of these are returned. */
export function attach(rows, reports) {
  const known = new Map(rows.map((one) => [one.reference, one]));
  return reports.filter((report) => {
    const named = (report.imagingStudy ?? []).map((to) => known.get(to.reference)).filter(Boolean);
    for (const one of named) if (!one.reports.some((other) => other.id === report.id)) one.reports.push(report);
    return !named.length;
  });
}

/** Whether a row is among those that the reader wants. */
export function fits(one, { words, modality, site, source, from, to, reported }) {
  const said = [one.title, one.day, ...one.modalities, ...one.sites, ...one.sources].join(" ").toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => said.includes(word))
    && (!modality || one.modalities.includes(modality)) && (!site || one.sites.includes(site))
    && (!source || one.sources.includes(source)) && (!reported || one.reports.length > 0)
    && (!from || one.year >= from) && (!to || (one.year && one.year <= to));
}

/** The values of a filter with how many studies have each, the commonest first: [[value, count]]. */
export function counted(rows, values) {
  const found = new Map();
  for (const one of rows) for (const value of values(one)) found.set(value, (found.get(value) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

const unique = (values) => [...new Set(values.filter(Boolean))];
