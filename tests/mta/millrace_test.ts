/** Real mail through real MTAs and the real runtime: every scenario, on both MTAs, over TCP and a Unix socket. */
import { deepEqual } from "node:assert/strict";
import { freePort, mtaKinds, mtaTest, startMta } from "./mta.ts";
import { runScenario } from "./run_scenario.ts";
import { scenarios } from "./scenarios.ts";
import { serveFilter, socketFolder } from "./serve_filter.ts";

for (const kind of mtaKinds) {
  for (const transport of ["tcp", "unix"] as const) {
    mtaTest(`millrace serves ${kind} over ${transport}`, async (t) => {
      await using folder = await socketFolder();
      const socket = transport === "tcp"
        ? `inet:${freePort()}@127.0.0.1`
        : `unix:${folder.path}/millrace.sock`;
      await using mta = await startMta(kind, { milter: socket });
      for (const scenario of scenarios) {
        await t.step(scenario.name, async () => {
          try {
            await runScenario(scenario, mta, async (filter) => {
              const served = await serveFilter([socket], filter);
              return {
                async [Symbol.asyncDispose]() {
                  await served[Symbol.asyncDispose]();
                  deepEqual([...served.failures], []);
                  deepEqual([...served.complaints], []);
                },
              };
            });
          } finally {
            // what a failed one left would make the next one fail as well
            await mta.clear();
          }
        });
      }
    });
  }
}
