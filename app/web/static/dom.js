// Elements from data. Text is only ever set as text, so nothing that comes from a record is markup.

/** `made("button", { class: "link", onclick: f }, "Text", child)`; a property that is null or false is left out. */
export function made(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A description list as the other pages have it; pairs without a value are left out. */
export function summary(pairs) {
  const list = "nhsuk-summary-list";
  const rows = pairs.filter(([, value]) => value).map(([name, value]) =>
    made("div", { class: `${list}__row` }, made("dt", { class: `${list}__key` }, name), made("dd", { class: `${list}__value` }, value)));
  return made("dl", { class: list }, rows);
}

export const BUTTON = "nhsuk-button";
export const SECONDARY = "nhsuk-button nhsuk-button--secondary";
export const WARNING = "nhsuk-button nhsuk-button--warning";

export function button(text, onclick, properties = {}) {
  return made("button", { type: "button", class: BUTTON, ...properties, onclick }, text);
}

/** Put the reader where the new part begins, for people who see the page and for those who hear it. */
export function focusOn(element) {
  element.setAttribute("tabindex", "-1");
  element.focus();
}
