// Swagger UI over this gateway's own description. Its defaults would ask another host whether the description is valid.

import { byId } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const description = await (await fetch("/openapi.json", { credentials: "omit" })).json();
// A key does not belong into a URL, where histories and logs keep it: here it is offered for headers only.
delete description.components.securitySchemes.subscriptionKeyQuery;
for (const operation of Object.values(description.paths).flatMap(Object.values)) {
  operation.security = operation.security.filter((scheme) => !("subscriptionKeyQuery" in scheme));
}

window.SwaggerUIBundle({
  spec: description,
  domNode: byId("reference"),
  validatorUrl: null,
  deepLinking: false,
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  persistAuthorization: false,
  syntaxHighlight: { activated: false },
});

// It leaves its choices of an example without a name, and what may be scrolled out of the keyboard's reach.
new MutationObserver(() => {
  for (const select of document.querySelectorAll("#reference select:not([aria-label], [id])")) {
    select.setAttribute("aria-label", "Example");
  }
  for (const example of document.querySelectorAll("#reference .microlight:not([tabindex])")) example.tabIndex = 0;
}).observe(byId("reference"), { childList: true, subtree: true });
