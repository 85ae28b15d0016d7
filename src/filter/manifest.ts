/**
 * What a filter module may say of itself besides its filter.
 *
 * @module
 */

/**
 * A schema that checks options: any that follows Standard Schema version 1, such as those of zod, valibot and arktype.
 * Only what is read of it stands here (https://standardschema.dev).
 */
export interface OptionsSchema {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): OptionsResult | Promise<OptionsResult>;
  };
}

/** What a schema makes of options: their value, defaults filled in, or what is wrong with them. */
export type OptionsResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly OptionsIssue[] };

/** One mistake in options. */
export interface OptionsIssue {
  readonly message: string;
  /** Where it is: keys from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Rights that a filter would like to have, as in `permissions` of the configuration. Only that one grants them. */
export interface WishedPermissions {
  readonly net?: readonly string[];
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  readonly env?: readonly string[];
  readonly sys?: readonly string[];
}

/**
 * What a filter module may export as `manifest`.
 *
 * @example A filter with checked options
 * ```ts
 * import type { Filter, FilterEnv, Manifest } from "@millrace/millrace";
 * import { z } from "zod";
 *
 * const options = z.strictObject({ header: z.string().default("X-Checked") });
 *
 * export const manifest: Manifest = { name: "mark", version: "1.0.0", options };
 *
 * export default function mark(env: FilterEnv): Filter {
 *   const { header } = env.options as z.output<typeof options>;
 *   return { message: (_mail, { addHeader }) => addHeader(header, "yes") };
 * }
 * ```
 */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  /** Checks `options` of the configuration before the filter starts; what it gives is `env.options`. */
  readonly options?: OptionsSchema;
  /** Shown to the administrator by `millrace check`, beside what is granted. */
  readonly permissions?: WishedPermissions;
}
