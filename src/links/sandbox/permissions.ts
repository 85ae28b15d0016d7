/**
 * From the rights that the configuration grants to the permissions of a Worker.
 *
 * @module
 */

/** What a filter may touch; absent means none. Values as for Deno's `--allow-…` flags. */
export interface Grants {
  /** Hosts, with or without port: `"127.0.0.1:3310"`. */
  readonly net?: readonly string[];
  /** Files and folders. */
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  /** Names of environment variables. */
  readonly env?: readonly string[];
  /** System information, as Deno names it: `"hostname"`. */
  readonly sys?: readonly string[];
}

/** The permissions of a sandbox, as Deno's Worker option takes them. */
export interface WorkerPermissions {
  readonly net: boolean | string[];
  readonly read: boolean | string[];
  readonly write: boolean | string[];
  readonly env: boolean | string[];
  readonly sys: boolean | string[];
  readonly run: false;
  readonly ffi: false;
  readonly import: false;
}

/**
 * Exactly the grants, and reading the runtime's own source, without which the Worker could not start.
 *
 * @param source Paths of the runtime's own modules.
 */
export function workerPermissions(grants: Grants, source: readonly string[]): WorkerPermissions {
  const list = (values: readonly string[] | undefined): false | string[] =>
    values === undefined || values.length === 0 ? false : [...values];
  return {
    net: list(grants.net),
    read: [...source, ...(grants.read ?? [])],
    write: list(grants.write),
    env: list(grants.env),
    sys: list(grants.sys),
    run: false,
    ffi: false,
    import: false,
  };
}
