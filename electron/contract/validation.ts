/**
 * The one place that configures zod. Every schema of the contract takes `z` from here, so that no
 * schema can exist before the configuration does.
 *
 * Jitless: zod's default compiles validators with `new Function`, which the panel's Content Security
 * Policy forbids.
 */
import { z } from "zod";

z.config({ jitless: true });

export { z };
