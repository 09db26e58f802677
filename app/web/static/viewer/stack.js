// One series as a stack of pictures: wheel, arrow keys, slider, touch. For looking, not for diagnosis.
import { made } from "../dom.js";
import { Archive } from "./archive.js";

// Usual windows of CT in Hounsfield units, where the archive names none: centre, width.
const CT_WINDOWS = [
  ["Soft tissue", "40,400"], ["Brain", "40,80"], ["Lung", "-600,1500"], ["Bone", "480,2500"], ["Liver", "60,160"],
];
const AHEAD = 3;
const COARSE = 100; // pixels across, below which the pixels themselves are shown instead of a blur
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };

export class Stack {
  /** `series` as in the ImagingStudy; `base` the archive's DICOMweb address. */
  constructor(archive, base, study, series) {
    Object.assign(this, { archive, base, study, series, at: 0, window: null, zoom: 1, wanted: 0 });
    this.slices = (series.instance ?? []).slice().sort((a, b) => (a.number ?? 0) - (b.number ?? 0)).map((one) => ({ uid: one.uid, frame: null, number: one.number }));
    this.image = made("img", { alt: "", draggable: "false", onload: () => this.image.classList.toggle("coarse", this.image.naturalWidth < COARSE) });
    this.problem = made("p", { class: "problem", role: "alert", hidden: true });
    this.place = made("div", { class: "screen", tabindex: "0", role: "group", "aria-label": "Picture. Arrow keys go through the stack, plus and minus zoom, R resets." }, this.image, this.problem);
    this.where = made("span", { class: "where" });
    this.slider = made("input", { type: "range", min: 1, value: 1, "aria-label": "Place in the stack", oninput: () => this.go(this.slider.value - 1) });
    this.windows = made("select", { "aria-label": "Window", onchange: () => { this.window = this.windows.value || null; this.draw(); } });
    this.element = made("figure", { class: "stack" }, this.place,
      made("figcaption", {},
        made("span", { class: "caution" }, "Not for diagnosis"), this.where, this.slider,
        made("span", { class: "tools" },
          made("label", { class: "window" }, made("span", {}, "Window "), this.windows),
          this.tool("−", "Smaller", () => this.scale(1 / 1.25)), this.tool("+", "Larger", () => this.scale(1.25)), this.tool("Reset", "Reset picture", () => this.reset()))));
    this.listen();
    this.extent();
    this.presets([]);
  }

  tool(text, label, onclick) {
    return made("button", { type: "button", "aria-label": label, onclick }, text);
  }

  listen() {
    this.place.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step) this.go(this.at + step);
      else if (event.key === "Home") this.go(0);
      else if (event.key === "End") this.go(this.slices.length - 1);
      else if (event.key === "+" || event.key === "=") this.scale(1.25);
      else if (event.key === "-") this.scale(1 / 1.25);
      else if (event.key === "r" || event.key === "R") this.reset();
      else return;
      event.preventDefault();
    });
    let turned = 0;
    this.place.addEventListener("wheel", (event) => {
      if (event.ctrlKey) return; // the browser's own zoom
      event.preventDefault();
      turned += event.deltaY;
      const steps = Math.trunc(turned / 40);
      if (steps) this.go(this.at + steps);
      turned -= steps * 40;
    }, { passive: false });
    // a finger drawn up or down goes through the stack; a zoomed picture is moved instead
    let from = null;
    this.place.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, at: this.at, left: this.place.scrollLeft, top: this.place.scrollTop }; });
    this.place.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      if (this.zoom > 1) this.place.scrollTo(from.left + from.x - event.clientX, from.top + from.y - event.clientY);
      else this.go(from.at + Math.round((event.clientY - from.y) / 12));
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) this.place.addEventListener(name, () => { from = null; });
  }

  /** The first picture, then what the archive says of frames and windows. */
  async open() {
    const shown = this.draw();
    const said = await this.archive.metadata(this.base, this.study, this.series.uid);
    const many = this.slices.some((one) => (said[one.uid]?.frames ?? 1) > 1);
    if (many) {
      this.slices = this.slices.flatMap((one) => Array.from({ length: said[one.uid]?.frames ?? 1 }, (_, at) => ({ ...one, frame: at + 1 })));
      this.extent();
    }
    this.presets(said[this.slices[0]?.uid]?.windows ?? []);
    await shown;
    if (many) await this.draw();
  }

  presets(own) {
    const usual = this.series.modality?.code === "CT" ? CT_WINDOWS : [];
    const offered = [...own.map((one, at) => [one.name ?? (own.length > 1 ? `As acquired ${at + 1}` : "As acquired"), one.window]), ...usual];
    this.windows.replaceChildren(made("option", { value: "" }, "Archive’s own"), ...offered.map(([name, value]) => made("option", { value }, `${name} (${value.replace(",", " / ")})`)));
    this.windows.closest("label").hidden = !offered.length;
  }

  extent() {
    this.slider.max = Math.max(1, this.slices.length);
    this.slider.hidden = this.slices.length < 2;
  }

  go(to) {
    const at = Math.max(0, Math.min(this.slices.length - 1, Number(to)));
    if (at === this.at) return;
    this.at = at;
    this.draw();
  }

  address(at, window = this.window) {
    const { uid, frame } = this.slices[at];
    return Archive.rendered(this.base, this.study, this.series.uid, uid, { frame, window });
  }

  /** Show where we are. Whoever turns fast sees the last one asked for, not each in between. */
  async draw() {
    if (!this.slices.length) {
      this.fail("This series holds no picture.");
      return;
    }
    const ask = ++this.wanted;
    const said = `${this.at + 1} of ${this.slices.length}`;
    this.where.textContent = said;
    this.slider.value = this.at + 1;
    this.slider.setAttribute("aria-valuetext", said);
    this.place.setAttribute("aria-busy", "true");
    try {
      const url = await this.archive.picture(this.address(this.at));
      if (ask !== this.wanted) return;
      this.image.src = url;
      this.image.alt = `${this.series.description ?? "Series"}, picture ${said}`;
      this.image.hidden = false;
      this.problem.hidden = true;
      this.ahead(ask);
    } catch (problem) {
      if (ask === this.wanted) this.fail(problem.message);
    } finally {
      if (ask === this.wanted) this.place.setAttribute("aria-busy", "false");
    }
  }

  async ahead(ask) {
    for (let step = 1; step <= AHEAD; step += 1) {
      for (const at of [this.at + step, this.at - step]) {
        if (ask !== this.wanted) return;
        if (at >= 0 && at < this.slices.length) await this.archive.picture(this.address(at)).catch(() => null);
      }
    }
  }

  fail(words) {
    this.image.hidden = true;
    this.image.removeAttribute("src");
    this.problem.textContent = words;
    this.problem.hidden = false;
  }

  scale(by) {
    const before = this.zoom;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.place;
    this.zoom = Math.max(1, Math.min(8, this.zoom * by));
    this.image.style.setProperty("--zoom", this.zoom);
    this.place.classList.toggle("zoomed", this.zoom > 1);
    // what was in the middle stays there
    const kept = (scroll, size) => (scroll + size / 2) * (this.zoom / before) - size / 2;
    this.place.scrollTo(kept(scrollLeft, clientWidth), kept(scrollTop, clientHeight));
  }

  reset() {
    this.scale(0);
    this.window = null;
    this.windows.value = "";
    this.draw();
  }
}
