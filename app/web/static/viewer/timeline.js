// The list of studies, newest first, by year, and its filters.
import { made } from "../dom.js";
import { counted, fits, number } from "./studies.js";

const NOTHING = { words: "", modality: "", site: "", source: "", from: "", to: "", reported: false };
const MANY = 8; // studies from which filters are worth their place
const STATES = { registered: "announced, not stored yet", cancelled: "withdrawn by its source", "entered-in-error": "entered in error" };

export class Timeline {
  constructor() {
    this.rows = [];
    this.wanted = { ...NOTHING };
    this.current = null;
    this.count = made("p", { class: "count", role: "status" });
    this.bar = made("progress", { hidden: true, "aria-label": "Loading studies" });
    this.list = made("div", { class: "years" });
    this.filters = made("details", { class: "filters" });
    this.filled = false;
    this.element = made("section", { class: "timeline", "aria-labelledby": "studies-heading" },
      made("h2", { id: "studies-heading" }, "Studies"), this.filters, this.count, this.bar, this.list);
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.waiting();
  }

  /** Grey rows while the first answer is awaited. */
  waiting() {
    this.count.textContent = "Looking for studies…";
    this.list.replaceChildren(made("ol", { class: "studies", "aria-hidden": "true" },
      Array.from({ length: 4 }, () => made("li", { class: "skeleton" }, made("span"), made("span")))));
  }

  /** `expected`: more pages are coming. */
  show(rows, expected = false) {
    this.rows = rows;
    this.bar.hidden = !expected;
    if (!this.filled || !expected) this.offer();
    this.draw(expected);
  }

  offer() {
    if (!this.filled) this.filters.open = this.rows.length > MANY && matchMedia("(min-width: 48rem)").matches;
    this.filled = true;
    const years = counted(this.rows, (one) => (one.year ? [one.year] : [])).map(([year]) => [year]).sort().reverse();
    const kinds = [
      ["modality", "Modality", counted(this.rows, (one) => one.modalities)],
      ["site", "Body region", counted(this.rows, (one) => one.sites)],
      ["source", "Source", counted(this.rows, (one) => one.sources)],
      ["from", "From year", years],
      ["to", "To year", years],
    ];
    const changed = (name, value) => { this.wanted[name] = value; this.draw(); };
    this.filters.replaceChildren(
      made("summary", {}, "Filter"),
      made("div", { class: "fields" },
        field("words", "Words", made("input", { type: "text", class: "nhsuk-input", id: "filter-words", value: this.wanted.words, oninput: (event) => changed("words", event.target.value) })),
        kinds.map(([name, label, values]) => field(name, label, made("select", { class: "nhsuk-select", id: `filter-${name}`, onchange: (event) => changed(name, event.target.value) },
          made("option", { value: "" }, name === "from" || name === "to" ? "any" : "all"),
          values.map(([value, count]) => made("option", { value, selected: this.wanted[name] === value }, count ? `${value} (${count})` : value))))),
        made("div", { class: "choice" },
          made("input", { type: "checkbox", id: "filter-reported", checked: this.wanted.reported, onchange: (event) => changed("reported", event.target.checked) }),
          made("label", { for: "filter-reported" }, "With a report")),
        made("button", { type: "button", class: "link", onclick: () => { this.wanted = { ...NOTHING }; this.offer(); this.draw(); } }, "Clear filters")));
  }

  draw(expected = false) {
    const shown = this.rows.filter((one) => fits(one, this.wanted));
    const all = number(this.rows.length, "study", "studies");
    const said = shown.length === this.rows.length ? all : `${shown.length} of ${all}`;
    this.count.textContent = expected ? `${said}, more are coming…` : said;
    const years = Map.groupBy ? Map.groupBy(shown, (one) => one.year) : grouped(shown);
    this.list.replaceChildren(...[...years].map(([year, rows]) => made("section", { class: "year" },
      made("h3", {}, year || "Date not recorded"), made("ol", { class: "studies" }, rows.map((one) => this.item(one))))));
    if (!shown.length && this.rows.length) this.list.append(made("p", { class: "quiet" }, "No study fits these filters."));
  }

  item(one) {
    const state = STATES[one.status];
    return made("li", {}, made("a", { href: `#study/${one.id}`, "aria-current": one.id === this.current ? "true" : null },
      made("span", { class: "when" }, one.day),
      made("span", { class: "kind" }, one.modalities.join(", ") || "Kind not told"),
      made("strong", {}, one.title),
      made("span", { class: "more" }, [
        one.sites.join(", "), one.sources.join(" and ") || "source not told", one.images ? number(one.images, "image") : null,
      ].filter(Boolean).join(" · ")),
      one.reports.length ? made("span", { class: "tag" }, one.reports.some((report) => report.status === "preliminary") ? "Preliminary report" : "Report") : null,
      state ? made("span", { class: "tag warn" }, state) : null));
  }

  mark(id) {
    this.current = id;
    for (const link of this.list.querySelectorAll("a")) {
      if (link.hash === `#study/${id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  /** Arrow keys go from study to study. */
  walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...this.list.querySelectorAll("a")];
    const next = links[links.indexOf(document.activeElement) + step];
    if (next) {
      next.focus();
      event.preventDefault();
    }
  }
}

const field = (name, label, control) => made("div", {}, made("label", { class: "nhsuk-label", for: `filter-${name}` }, label), control);

function grouped(rows) {
  const found = new Map();
  for (const one of rows) found.set(one.year, [...(found.get(one.year) ?? []), one]);
  return found;
}
