// A program against the generated types: registers, looks for a table, takes it, reads it, gives it back.
// Usage: client.ts ORIGIN RESTAURANT DATE
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const [origin, restaurant, date] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: origin });

function must<T>(step: string, answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.error !== undefined || answer.data === undefined) {
    throw new Error(`${step}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

const session = must(
  "register",
  await api.POST("/api/v1/auth/register", {
    body: { email: "typed@example.org", password: "correct horse", first_name: "Tina", last_name: "Script", role: "customer" },
  }),
);
api.use({ onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${session.access_token}`) });

const day = must(
  "availability",
  await api.GET("/api/v1/restaurants/{id}/availability", { params: { path: { id: restaurant }, query: { date, guests_count: 2 } } }),
);
const slot = day.slots.find((s) => s.available);
if (!slot) throw new Error("nothing is free");

const reservation = must(
  "reserve",
  await api.POST("/api/v1/reservations", {
    params: { header: { "Idempotency-Key": "typed-1" } },
    body: { restaurant_id: restaurant, date: day.date, time_slot: slot.time_slot, guests_count: 2 },
  }),
);
const shown = must("show", await api.GET("/api/v1/reservations/{id}", { params: { path: { id: reservation.id } } }));
const over = must("cancel", await api.POST("/api/v1/reservations/{id}/cancel", { params: { path: { id: shown.id } }, body: { reason: "a test" } }));

const again = await api.POST("/api/v1/reservations/{id}/cancel", { params: { path: { id: shown.id } } });
if (again.error?.code !== "invalid_transition") throw new Error(`a second cancel: ${JSON.stringify(again.error)}`);
console.log(`${over.id} ${over.status}`);
