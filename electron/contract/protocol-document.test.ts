import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { protocolDocument } from "./protocol-document.js";

const file = fileURLToPath(new URL("../../docs/protocol.md", import.meta.url));

it("docs/protocol.md says what the schemas say", () => {
  const text = protocolDocument();
  if (process.env.UPDATE_PROTOCOL_DOCUMENT !== undefined) {
    writeFileSync(file, text);
  }
  expect(readFileSync(file, "utf8")).toBe(text);
});
