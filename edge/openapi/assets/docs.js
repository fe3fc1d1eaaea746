import { init } from "/docs/redoc.js";

// Operations are named after the #, so that a link to one is still a link to /docs.
init("/openapi.json", { disableTelemetry: true, router: "hash" }, document.getElementById("docs"));
