// What a user of openapi-typescript writes. It is compiled under strict rules and run against a real API.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

declare const process: { argv: string[] };
const api = createClient<paths>({
  baseUrl: process.argv[2] ?? "",
  querySerializer: { object: { style: "form", explode: true } },
});

// Submit, and wait for the end.
const posted = await api.POST("/v1/tasks/bad.deed/jobs", {
  body: { then: "return", text: "typed" },
  params: { query: { tag: ["from-typescript"], delay: 0 }, header: { Prefer: "wait=30" } },
});
if (!posted.data || !("result" in posted.data)) throw new Error(JSON.stringify(posted.error ?? posted.data));
const said: string | undefined = posted.data.result?.said;
const id: string = posted.data.id;

// Read.
const read = await api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: id } } });
const status: components["schemas"]["Status"] | undefined = read.data?.status;

// List, by a field of the payload.
const listed = await api.GET("/v1/jobs", {
  params: { query: { tag: "from-typescript", status: ["succeeded"], payload: { "payload.text": "typed" } } },
});
const ids: string[] = (listed.data?.jobs ?? []).map((job) => job.id);

// Errors.
// @ts-expect-error: there is no such field
const refused = await api.POST("/v1/tasks/bad.deed/jobs", { body: { then: "return", nonsense: 1 } });
const problem: components["schemas"]["Problem"] | undefined = refused.error;
const missing = await api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: process.argv[3] ?? "" } } });

console.log(JSON.stringify({
  said, status, found: ids.includes(id),
  wrong: [refused.response.status, problem?.errors?.[0]?.field, missing.response.status, missing.error?.type],
}));
