// What the page cache holds would be read from memory, not from the disk.
import { run } from "../scripts/command.mjs";
import { Setback } from "../scripts/setback.mjs";

/** @param {string} file drops what the page cache has of it */
export async function forgetCache(file) {
  const result = await run(["dd", `if=${file}`, "iflag=nocache", "count=0", "status=none"]);
  if (result.status !== 0) throw new Setback("dd failed", "See above.", result.tail);
}
