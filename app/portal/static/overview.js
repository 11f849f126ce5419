// The first page: one line to copy, with this gateway's own address in it.

import { byId, copyButton } from "./dom.js";
import { samples } from "./samples.js";

const [curl] = samples({
  method: "POST",
  origin: location.origin,
  path: "/Get%20Data",
  kind: "get-data",
  keyed: true,
  key: null,
  body: { prompt: "Tell me about llama2" },
});
byId("code").firstElementChild.textContent = curl.code;
copyButton(byId("copy"), () => byId("code").textContent, byId("copied"));
