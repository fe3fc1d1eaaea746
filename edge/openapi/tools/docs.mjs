// Opens /docs in a browser: no request leaves the server's origin, nothing is written as an error to the console, each
// operation is in the menu. Usage: docs.mjs ORIGIN OPERATIONS [SCREENSHOT]
import { chromium } from "playwright-core";

const [origin, operations, screenshot] = process.argv.slice(2);
const faults = [];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (url.origin !== origin && url.protocol !== "data:" && url.protocol !== "blob:") faults.push(`foreign request: ${r.url()}`);
  });
  page.on("console", (m) => m.type() === "error" && faults.push(`console: ${m.text()}`));
  page.on("pageerror", (e) => faults.push(`page: ${e.message}`));
  await page.goto(`${origin}/docs`, { waitUntil: "networkidle" });
  await page.getByText("Restaurants, their tables").first().waitFor({ timeout: 20_000 });
  if (screenshot) await page.screenshot({ path: screenshot });
  const menu = (path) => page.locator(`a[href="#/${path.toLowerCase()}"]`).first();
  for (const { tag, id } of JSON.parse(operations)) {
    if (!(await menu(`${tag}/${id}`).count())) await menu(tag).click();
    await menu(`${tag}/${id}`).waitFor({ timeout: 5_000 }).catch(() => faults.push(`not shown: ${id}`));
  }
  await menu("reservations/createReservation").click();
  await page.getByText("Decided once and durably").first().waitFor({ timeout: 10_000 }).catch(() => faults.push("an operation does not open"));
  await page.getByText("slot_unavailable").first().waitFor({ timeout: 10_000 }).catch(() => faults.push("no refusals are shown"));
  await page.waitForLoadState("networkidle");
  if (screenshot) await page.screenshot({ path: screenshot.replace(".png", "-operation.png") });
} finally {
  await browser.close();
}
for (const f of new Set(faults)) console.error(f);
process.exit(faults.length ? 1 : 0);
