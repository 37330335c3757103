// Integration tests: agent and helper as they run, on real processes and a real kernel, one file after another.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/integration/**/*.test.ts"],
    // Real captures on a busy machine; a test that hangs must still end.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two captures at once would measure each other, and leftovers could not be told apart.
    fileParallelism: false,
    maxWorkers: 1,
    restoreMocks: true,
  },
});
