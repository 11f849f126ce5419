// What every page has: the state of the engine, and the link to the page itself in sight.

import { followEngine } from "./engine.js";

followEngine(() => {});
document.querySelector(".links [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
