/**
 * The words that agent, panel, CLI and clients share. Nothing here needs Node, so the renderer may
 * import it; what does (`client.ts`, `paths.ts`) is imported by its own name.
 */
export * from "./application.js";
export * from "./application-config.js";
export * from "./calendar-expression.js";
export * from "./control.js";
export * from "./control-limits.js";
export * from "./events.js";
export * from "./exit.js";
export * from "./failure.js";
export * from "./helper-output.js";
export * from "./identifiers.js";
export * from "./image.js";
export * from "./limits.js";
export * from "./line-reader.js";
export * from "./messages.js";
export * from "./methods.js";
export * from "./occurrence.js";
export * from "./operation.js";
export * from "./policy-check.js";
export * from "./policy-config.js";
export * from "./prune.js";
export * from "./quantity.js";
export * from "./system.js";
export { z } from "./validation.js";
