// Unit tests: `*.test.ts` beside the source, nothing of the system touched but temporary folders.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{electron,renderer,scripts,bench,clients}/**/*.test.{ts,tsx}"],
    testTimeout: 10_000,
    restoreMocks: true,
  },
});
