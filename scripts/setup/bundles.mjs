// The JavaScript bundles in dist/, built anew when a source, a build script or a locked package changed.
import { join } from "node:path";

import { nodePath, run } from "../command.mjs";
import { checkout } from "../paths.mjs";
import { Setback } from "../setback.mjs";
import { hashOf, readStamp, writeStamp } from "../stamp.mjs";

const inputs = [
  "electron",
  "clients/node/src",
  "renderer",
  "assets/icons",
  "package-lock.json",
  "scripts/build.mjs",
  "tsconfig.base.json",
  "tsconfig.renderer.json",
  "vite.config.ts",
];

/** @param {(text: string) => void} say */
export async function bringBundles(say) {
  const stampFile = join(checkout, "dist/.inputs");
  const hash = hashOf(inputs);
  if (readStamp(stampFile) === hash) return;
  say("bundling agent, command line, panel and client");
  const result = await run([nodePath(), "scripts/build.mjs"], { timeLimitSeconds: 300 });
  if (result.status !== 0) {
    throw new Setback(
      "the bundles could not be built",
      "The bundler's message is above. To run it alone: npm run build",
      result.tail,
    );
  }
  await writeStamp(stampFile, hash);
}
