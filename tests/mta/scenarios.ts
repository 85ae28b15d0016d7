/** All scenarios. */
import type { Scenario } from "./scenario.ts";
import { bundledScenarios } from "./scenarios_bundled.ts";
import { editScenarios } from "./scenarios_edits.ts";
import { sessionScenarios } from "./scenarios_sessions.ts";
import { verdictScenarios } from "./scenarios_verdicts.ts";

/** Every scenario that runs on both MTAs, over TCP and over a Unix socket. */
export const scenarios: readonly Scenario[] = [
  ...editScenarios,
  ...verdictScenarios,
  ...sessionScenarios,
  ...bundledScenarios,
];
