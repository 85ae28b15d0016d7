/**
 * Reads what a filter module says of itself, and lets it check its options. Nothing in it is taken on trust.
 *
 * @module
 */
import type { OptionsSchema, WishedPermissions } from "../filter/mod.ts";
import { nearest } from "../text/nearest.ts";
import { printable, show } from "../text/show.ts";

/** A manifest as plain data: what may leave a sandbox. */
export interface ManifestData {
  readonly name: string;
  readonly version: string;
  readonly permissions: WishedPermissions;
}

/** A filter module cannot be used; the message says why, in whole lines for an administrator. */
export class FilterError extends Error {
  override readonly name = "FilterError";
}

const KEYS = ["name", "version", "options", "permissions"] as const;
const RIGHTS = ["net", "read", "write", "env", "sys"] as const;
/** Rights in one list, and characters of one text. */
const MOST = 100;
const LONGEST = 200;
/** Mistakes in options that are shown. */
const SHOWN = 20;

/**
 * Reads a module's `manifest`; undefined if it has none.
 *
 * @throws {FilterError} that says what is wrong
 */
export function readManifest(
  value: unknown,
): { readonly data: ManifestData; readonly options: OptionsSchema | undefined } | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value)) {
    throw new FilterError(`manifest is ${show(value)}, expected { name, version, options?, permissions? }`);
  }
  for (const key of Object.keys(value)) {
    if ((KEYS as readonly string[]).includes(key)) continue;
    const meant = nearest(key, KEYS);
    throw new FilterError(
      `manifest has "${printable(key, 60)}"; ${
        meant ? `did you mean ${meant}?` : `allowed are ${KEYS.join(", ")}`
      }`,
    );
  }
  const { name, version, options, permissions } = value;
  return {
    data: { name: word("name", name), version: word("version", version), permissions: wishes(permissions) },
    options: schemaOf(options),
  };
}

/** What a sandbox says is its filter's manifest, held against what one may be; undefined if it is none. */
export function trimManifest(value: unknown): ManifestData | undefined {
  try {
    if (!isObject(value)) return undefined;
    const { name, version, permissions } = value;
    return readManifest({ name, version, permissions })?.data;
  } catch (error) {
    if (error instanceof FilterError) return undefined;
    throw error;
  }
}

/**
 * The options as the filter's schema gives them.
 *
 * @throws {FilterError} with one line for each mistake
 */
export async function checkOptions(
  schema: OptionsSchema | undefined,
  options: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  if (schema === undefined) return options;
  const result = await schema["~standard"].validate(options);
  if (result.issues !== undefined) {
    const lines = result.issues.slice(0, SHOWN).map(({ message, path = [] }) =>
      `options${path.map(stepText).join("")}: ${printable(String(message), 500)}`
    );
    const more = result.issues.length - lines.length;
    throw new FilterError([...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n"));
  }
  if (!isObject(result.value)) {
    throw new FilterError(`the schema of the options gave ${show(result.value)}, expected an object`);
  }
  return result.value;
}

function stepText(step: PropertyKey | { readonly key: PropertyKey }): string {
  const key = typeof step === "object" ? step.key : step;
  return typeof key === "number" ? `[${key}]` : `.${printable(String(key), 60)}`;
}

function word(key: string, value: unknown): string {
  if (typeof value === "string" && value !== "" && value.length <= LONGEST) return value;
  throw new FilterError(`manifest.${key} is ${show(value)}, expected text of at most ${LONGEST} characters`);
}

function wishes(value: unknown): WishedPermissions {
  if (value === undefined) return {};
  if (!isObject(value)) {
    throw new FilterError(
      `manifest.permissions is ${show(value)}, expected an object such as { net: ["HOST:PORT"] }`,
    );
  }
  const wished: Record<string, readonly string[]> = {};
  for (const [right, list] of Object.entries(value)) {
    if (list === undefined) continue;
    if (!(RIGHTS as readonly string[]).includes(right)) {
      const meant = nearest(right, RIGHTS);
      throw new FilterError(
        `manifest.permissions has "${printable(right, 60)}"; ${
          meant ? `did you mean ${meant}?` : `known are ${RIGHTS.join(", ")}`
        }`,
      );
    }
    const whole = Array.isArray(list) && list.length <= MOST &&
      list.every((entry) => typeof entry === "string" && entry !== "" && entry.length <= 1024);
    if (!whole) {
      throw new FilterError(
        `manifest.permissions.${right} is ${show(list)}, expected a list of at most ${MOST} texts`,
      );
    }
    wished[right] = [...list];
  }
  return wished;
}

function schemaOf(value: unknown): OptionsSchema | undefined {
  if (value === undefined) return undefined;
  // arktype's schemas are functions.
  const standard = isObject(value) || typeof value === "function"
    ? (value as Readonly<Record<string, unknown>>)["~standard"]
    : undefined;
  if (isObject(standard) && typeof standard.validate === "function") return value as OptionsSchema;
  throw new FilterError(
    `manifest.options is ${show(value)}, expected a Standard Schema, for example z.object({ … }) of zod`,
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
