import { init } from "/docs/redoc.js";

init("/openapi.json", { disableTelemetry: true, codeSnippet: {}, pageActions: { hide: true }, navigation: { actions: { hide: true } } }, document.getElementById("docs"));
