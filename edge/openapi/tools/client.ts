// Usage: client.ts ORIGIN RESTAURANT DATE
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const [origin, restaurant, date] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: origin });

function must<T>(step: string, answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(`${step}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

const account = { email: "typed@example.org", password: "correct horse", first_name: "Tina", last_name: "Script", role: "customer" as const };
const session = must("register", await api.POST("/api/v1/auth/register", { body: account }));
api.use({ onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${session.access_token}`) });

const path = { id: restaurant };
const day = must("look", await api.GET("/api/v1/restaurants/{id}/availability", { params: { path, query: { date, guests_count: 2 } } }));
const slot = day.slots.find((s) => s.available);
if (!slot) throw new Error("nothing is free");

const reservation = must("reserve", await api.POST("/api/v1/reservations", {
  params: { header: { "Idempotency-Key": crypto.randomUUID() } }, // the same again, when no answer came
  body: { restaurant_id: restaurant, date: day.date, time_slot: slot.time_slot, guests_count: 2 },
}));
const mine = { params: { path: { id: reservation.id } } };
const over = must("cancel", await api.POST("/api/v1/reservations/{id}/cancel", { ...mine, body: { reason: "a cold" } }));

const again = await api.POST("/api/v1/reservations/{id}/cancel", mine);
if (again.error?.code !== "invalid_transition") throw new Error("errors are typed too");
console.log(`${over.id} ${over.status}`);
