#!/usr/bin/env node
// `npx torpor …`: hands over to the bundled CLI, or says how to build it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { checkout } from "./paths.mjs";

const bundled = join(checkout, "dist/cli/torpor.js");
if (existsSync(bundled)) {
  // The CLI reads its arguments after the script's name, as if it had been started itself.
  process.argv[1] = bundled;
  await import(pathToFileURL(bundled).href);
} else {
  console.error("torpor: the command is not built yet. In the checkout, run: npm run setup");
  process.exitCode = 70;
}
