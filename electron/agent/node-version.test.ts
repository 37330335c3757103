import { expect, it } from "vitest";
import { nodeProblem } from "./node-version.js";

it("names the Node that is too old, and lets the others pass", () => {
  expect(nodeProblem("20.20.2")).toContain("20.20.2");
  expect(nodeProblem("22.0.0")).toBeUndefined();
  expect(nodeProblem(process.versions.node)).toBeUndefined();
});
