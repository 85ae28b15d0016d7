// Loaded by Node before the portable tests: lets bare imports such as "fast-check" be found in the folder that
// the environment variable names. The project itself has no node_modules, and needs none.
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const packages = pathToFileURL(`${process.env.MILLRACE_NODE_PACKAGES}/any.js`).href;

registerHooks({
  resolve(specifier, context, next) {
    const isBare = /^[\w@]/.test(specifier) && !/^[a-z]+:/.test(specifier);
    return next(specifier, isBare ? { ...context, parentURL: packages } : context);
  },
});
