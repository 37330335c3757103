// Bundles the window's contents: renderer/index.html into dist/renderer.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  root: "renderer",
  // The panel serves these files from a scheme of its own, where the page lies at the root.
  base: "./",
  plugins: [react()],
  build: {
    outDir: "../dist/renderer",
    emptyOutDir: true,
    // The oldest Chromium that we run on: the test runtime's (see scripts/electron-runtime.mjs).
    target: "chrome130",
    sourcemap: true,
    // No data: URLs, so that the content security policy needs no exception for them.
    assetsInlineLimit: 0,
    // Read from the disk, not over a network: one file is fine.
    chunkSizeWarningLimit: 4096,
    modulePreload: { polyfill: false },
  },
});
