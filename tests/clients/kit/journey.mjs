// What a web application does with fhir-kit-client. Arguments: base URL, token.
import assert from "node:assert/strict";
import { Client } from "fhir-kit-client";

const [baseUrl, bearerToken] = process.argv.slice(2);
const client = new Client({ baseUrl, bearerToken });
const system = "https://example.org/clients/kit";
const patient = (number) => ({
  resourceType: "Patient",
  identifier: [{ system, value: String(number) }],
  name: [{ family: "Fictional", given: ["Kit"] }],
});

const stated = await client.capabilityStatement();
assert.equal(stated.fhirVersion, "4.0.1");

const created = await client.create({ resourceType: "Patient", body: patient(0) });
assert.equal(created.meta.versionId, "1");
assert.equal(Client.httpFor(created).response.status, 201);
const { id } = created;

const condition = { headers: { "If-None-Exist": `identifier=${system}|0` } };
const again = await client.create({ resourceType: "Patient", body: patient(0), options: condition });
assert.equal(again.id, id);
assert.equal(Client.httpFor(again).response.status, 200);

assert.deepEqual(await client.read({ resourceType: "Patient", id }), created);
const updated = await client.update({ resourceType: "Patient", id, body: { ...created, gender: "other" } });
assert.equal(updated.meta.versionId, "2");
const searchParams = { identifier: `${system}|0` };
const conditional = await client.update({ resourceType: "Patient", searchParams, body: { ...patient(0), gender: "male" } });
assert.equal(conditional.id, id);
await assert.rejects(
  client.update({ resourceType: "Patient", id, body: created, options: { headers: { "If-Match": 'W/"1"' } } }),
  (error) => error.response.status === 412,
);

const jsonPatch = [{ op: "replace", path: "/gender", value: "female" }];
const patched = await client.patch({ resourceType: "Patient", id, jsonPatch });
assert.equal(patched.gender, "female");
assert.equal((await client.vread({ resourceType: "Patient", id, version: "2" })).gender, "other");
const history = await client.history({ resourceType: "Patient", id });
assert.deepEqual(history.entry.map((one) => one.resource.meta.versionId), ["4", "3", "2", "1"]);
assert.ok((await client.history({ resourceType: "Patient" })).entry.length >= 4);

const entry = [1, 2, 3, 4].map((number) => ({
  fullUrl: `urn:uuid:5c5b9a4e-31a4-4e3e-8a3e-0d6b6f7f000${number}`,
  resource: patient(number),
  request: { method: "POST", url: "Patient" },
}));
const answered = await client.transaction({ body: { resourceType: "Bundle", type: "transaction", entry } });
assert.deepEqual(answered.entry.map((one) => one.response.status.slice(0, 3)), ["201", "201", "201", "201"]);
const batched = await client.batch({
  body: { resourceType: "Bundle", type: "batch", entry: [{ request: { method: "GET", url: `Patient/${id}` } }] },
});
assert.equal(batched.entry[0].resource.id, id);

const wanted = [0, 1, 2, 3, 4].map((number) => `${system}|${number}`).join(",");
const found = new Set();
let pages = 0;
let page = await client.search({ resourceType: "Patient", searchParams: { identifier: wanted, _count: 2 } });
while (page) {
  pages += 1;
  page.entry.forEach((one) => found.add(one.resource.id));
  page = page.link.some((one) => one.relation === "next") ? await client.nextPage({ bundle: page }) : null;
}
assert.deepEqual([pages, found.size], [3, 5]);
const posted = await client.resourceSearch({ resourceType: "Patient", searchParams: { _id: id }, options: { postSearch: true } });
assert.equal(posted.entry.length, 1);
const outcome = await client.operation({ name: "validate", resourceType: "Patient", input: patient(9) });
assert.equal(outcome.resourceType, "OperationOutcome");

for (const one of found) await client.delete({ resourceType: "Patient", id: one });
await assert.rejects(client.read({ resourceType: "Patient", id }), (error) => error.response.status === 410);
console.log("done");
