/** All scenarios of three filters. */
import type { ChainScenario } from "./chain_scenario.ts";
import { bodyScenarios } from "./chain_bodies.ts";
import { envelopeScenarios } from "./chain_envelopes.ts";
import { headerScenarios } from "./chain_headers.ts";
import { mixtureScenarios } from "./chain_mixtures.ts";
import { quarantineScenarios } from "./chain_quarantines.ts";
import { sessionScenarios } from "./chain_sessions.ts";
import { tangledScenarios } from "./chain_tangles.ts";
import { verdictScenarios } from "./chain_verdicts.ts";

/** Every scenario that a chain is held to. */
export const chainScenarios: readonly ChainScenario[] = [
  ...verdictScenarios,
  ...headerScenarios,
  ...tangledScenarios,
  ...bodyScenarios,
  ...envelopeScenarios,
  ...quarantineScenarios,
  ...sessionScenarios,
  ...mixtureScenarios,
];
