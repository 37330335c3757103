// Where things lie in a checkout, and whether a script was started or imported.
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

/** What scripts keep between runs: stamps, tool caches, the Electron runtime. Safe to delete. */
export const cacheFolder = join(checkout, ".cache");

/** The helper as `cargo build --release` leaves it. */
export const helperPath =
  process.env.TORPOR_HELPER ?? join(checkout, "native-helpers/target/release/torpor-helper");

/**
 * Whether the script with this import.meta.url is the one that node was started with.
 * @param {string} moduleUrl
 */
export function isMain(moduleUrl) {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(moduleUrl);
}
