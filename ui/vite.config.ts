import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// The build is embedded into the desktop binary, so it targets the oldest WebKitGTK we ship on (2.40).
export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  resolve: mode === "test" ? { conditions: ["browser"] } : {},
  server: { port: 5173, strictPort: true },
  build: { target: ["safari16.4", "chrome111"], chunkSizeWarningLimit: 900 },
  test: {
    environment: "jsdom",
    setupFiles: ["src/test-setup.ts"],
    include: ["src/**/*.test.ts"],
    restoreMocks: true,
    // A limit for what hangs, not a measurement: machines that build are slow.
    testTimeout: 60_000,
  },
}));
