// Starts the real panel for a test: with a home of its own, as the ordinary user who would run it, and
// with the sandbox on wherever that user is not root.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { _electron, type ElectronApplication, type Page } from "@playwright/test";
import { panelLauncher, preparePanel } from "../../scripts/session/panel-process.mjs";

/**
 * Where tests keep homes: short, because the path of a socket may have 108 bytes, and not in /tmp, because
 * a capsule has a /tmp of its own.
 */
export function makeHome({ withApplications = true } = {}): string {
  const home = mkdtempSync("/var/tmp/torpor-e2e-");
  chmodSync(home, 0o755);
  const folders = withApplications ? ["apps.d", "lib", "run"] : [];
  for (const folder of folders) mkdirSync(join(home, folder), { mode: 0o755 });
  return home;
}

export function removeHome(home: string): void {
  rmSync(home, { recursive: true, force: true });
}

export interface PanelApp {
  readonly app: ElectronApplication;
  readonly page: Page;
  /** What the page wrote to its console as warnings and errors, and every uncaught exception. */
  readonly complaints: string[];
  resize(width: number, height: number): Promise<void>;
  close(): Promise<void>;
}

/** What the system warns of in a headless container; none of it is ours. */
const NOT_OURS = /Electron Security Warning|DevTools listening/;

export async function openPanel(
  home: string,
  options: { readonly theme?: "light" | "dark"; readonly size?: readonly [number, number] } = {},
): Promise<PanelApp> {
  const place = await preparePanel();
  const userData = join(home, "panel-profile");
  mkdirSync(userData, { recursive: true, mode: 0o700 });
  chownSync(userData, place.account.uid, place.account.gid);
  const app = await _electron.launch({
    executablePath: await panelLauncher(place),
    args: [...place.args, place.appFolder, `--user-data-dir=${userData}`],
    env: { ...place.environment, DISPLAY: process.env.DISPLAY ?? "", TORPOR_HOME: home },
    cwd: "/",
    timeout: 60_000,
  });
  const page = await app.firstWindow();
  const complaints: string[] = [];
  page.on("console", (message) => {
    const text = message.text();
    if (["warning", "error"].includes(message.type()) && !NOT_OURS.test(text)) {
      complaints.push(text);
    }
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const resize = async (width: number, height: number): Promise<void> => {
    await app.evaluate(
      ({ BrowserWindow }, [w, h]) => {
        BrowserWindow.getAllWindows()[0]?.setContentSize(w, h);
      },
      [width, height] as const,
    );
    await page.waitForFunction(([w, h]) => window.innerWidth === w && window.innerHeight === h, [
      width,
      height,
    ] as const);
  };
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await app.close();
  };
  if (options.theme !== undefined) await page.emulateMedia({ colorScheme: options.theme });
  if (options.size !== undefined) await resize(...options.size);
  return { app, page, complaints, resize, close };
}
