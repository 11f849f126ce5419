// Elements without HTML in texts: what came from a model or from a person can never become markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a text is a text, and what is null is left out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for a drawing. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(attribute, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Copy a text, also where the page is not on HTTPS and the browser keeps its clipboard shut. */
export async function copy(text, status) {
  status.textContent = ""; // so that a second copy is told as well
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = "Copied.";
  } catch {
    const area = el("textarea", { readonly: true, class: "visually-hidden", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    status.textContent = document.execCommand("copy") ? "Copied." : "The browser does not let this page copy. Select the text.";
    area.remove();
  }
}

/** A button that copies, and says so on itself for a moment. */
export function copyButton(button, text, status) {
  const label = button.textContent;
  let timer;
  button.addEventListener("click", async () => {
    await copy(text(), status);
    button.textContent = "Copied";
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 2000);
  });
}
