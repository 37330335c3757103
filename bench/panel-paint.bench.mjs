// How soon does the panel show something, and the applications, once the agent is ready?
import { spawn } from "node:child_process";
import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";

import { _electron } from "@playwright/test";

import { startAgent } from "../scripts/session/agent-process.mjs";
import { panelLauncher, preparePanel } from "../scripts/session/panel-process.mjs";
import { prepareHome } from "../scripts/session/state-home.mjs";
import { Setback } from "../scripts/setback.mjs";

const rounds = 7;

/** @type {import("./measurement.mjs").Benchmark} */
export default {
  question:
    "the panel: from its start, beside a ready agent, to its first paint and to the list of applications",
  panel: true,
  async measure({ scratch, say }) {
    // The panel's user looks into it.
    await chmod(scratch, 0o755);
    const home = join(scratch, "home");
    await prepareHome(home);
    const display = await startDisplay();
    const { account } = await preparePanel();
    const agent = await startAgent(home, account.uid);
    /** @type {number[]} */
    const painted = [];
    /** @type {number[]} */
    const listed = [];
    try {
      // The first start fills the caches of the disk and of the runtime.
      for (let round = 0; round <= rounds; round++) {
        const times = await openOnce(home, display.name);
        if (round === 0) continue;
        painted.push(times.painted);
        listed.push(times.listed);
      }
    } finally {
      await agent.stop();
      display.end();
    }
    say("on an X server without a graphics card; started by a test driver, which costs some of it");
    return [
      { name: "start to first contentful paint", unit: "ms", values: painted, goal: 2000 },
      { name: "start to the applications shown", unit: "ms", values: listed, goal: 2000 },
    ];
  },
};

/**
 * @param {string} home
 * @param {string} display
 */
async function openOnce(home, display) {
  const place = await preparePanel();
  const profile = join(home, "panel-profile");
  await mkdir(profile, { recursive: true, mode: 0o700 });
  await chown(profile, place.account.uid, place.account.gid);
  const begun = performance.timeOrigin + performance.now();
  const app = await _electron.launch({
    executablePath: await panelLauncher(place),
    args: [...place.args, place.appFolder, `--user-data-dir=${profile}`],
    env: { ...place.environment, DISPLAY: display, TORPOR_HOME: home },
    cwd: "/",
  });
  try {
    const page = await app.firstWindow();
    await page.getByText("Ward board").first().waitFor();
    const listed = performance.timeOrigin + performance.now() - begun;
    // The entry may come after the words are there.
    const painted = await page.evaluate(
      () =>
        new Promise((resolve) => {
          new PerformanceObserver((entries) => {
            const [first] = entries.getEntriesByName("first-contentful-paint");
            if (first !== undefined) resolve(performance.timeOrigin + first.startTime);
          }).observe({ type: "paint", buffered: true });
        }),
    );
    return { painted: Number(painted) - begun, listed };
  } finally {
    await app.close();
  }
}

/** @returns {Promise<{name: string, end: () => void}>} an X server of our own */
async function startDisplay() {
  const server = spawn(
    "Xvfb",
    ["-displayfd", "1", "-screen", "0", "1280x720x24", "-nolisten", "tcp"],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  /** @type {Buffer} */
  const number = await new Promise((resolve, reject) => {
    server.stdout.once("data", resolve);
    server.once("error", () => {
      reject(new Setback("Xvfb could not be started", "Is it installed? npm test installs it."));
    });
  });
  return { name: `:${String(number).trim()}`, end: () => server.kill("SIGTERM") };
}
