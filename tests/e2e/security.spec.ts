// The page can do nothing but what it is for: no Node, no navigation, no windows, no permissions, no code
// or styles from elsewhere, and no request that main didn't check.
import { expect, test } from "./fake-session.js";

test("web content is locked in", async ({ session }) => {
  await session.startAgent();
  const { panel, view } = await session.open();
  const { page, app } = panel;
  await expect(view.applications).toBeVisible();

  await test.step("no Node, and one object with two functions", async () => {
    const seen = await page.evaluate(() => ({
      require: typeof (globalThis as { require?: unknown }).require,
      process: typeof (globalThis as { process?: unknown }).process,
      bridge: Object.keys((globalThis as unknown as { torpor: object }).torpor).sort(),
    }));
    expect(seen).toEqual({ require: "undefined", process: "undefined", bridge: ["on", "request"] });
  });

  await test.step("sandboxed and isolated", async () => {
    const preferences = await app.evaluate(({ BrowserWindow }) => {
      const contents = BrowserWindow.getAllWindows()[0]?.webContents as unknown as {
        getLastWebPreferences(): Record<string, unknown>;
      };
      const { sandbox, contextIsolation, nodeIntegration, webSecurity, webviewTag } =
        contents.getLastWebPreferences();
      return { sandbox, contextIsolation, nodeIntegration, webSecurity, webviewTag };
    });
    expect(preferences).toEqual({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webSecurity: true,
      webviewTag: false,
    });
  });

  await test.step("no new windows", async () => {
    const opened = await page.evaluate(() => window.open("https://example.org/") === null);
    expect(opened).toBe(true);
    expect(app.windows()).toHaveLength(1);
  });

  await test.step("no permissions", async () => {
    const asked = await page.evaluate(() => Notification.requestPermission());
    expect(asked).toBe("denied");
  });

  await test.step("no scripts, styles or requests but the bundle's", async () => {
    const violations = await page.evaluate(async () => {
      const blocked: string[] = [];
      document.addEventListener("securitypolicyviolation", (event) => {
        blocked.push(event.effectiveDirective);
      });
      const style = document.createElementNS("http://www.w3.org/1999/xhtml", "style");
      style.textContent = "body { opacity: 0 }";
      document.head.append(style);
      style.remove();
      await fetch("https://example.org/").catch(() => undefined);
      const image = new Image();
      image.src = "https://example.org/a.png";
      await new Promise((resolve) => {
        image.onerror = resolve;
      });
      try {
        document.createElement("div").innerHTML = "<b>text</b>";
      } catch {
        // Trusted types refuse it.
      }
      // Violations are reported in tasks of their own, some time after what caused them.
      for (let wait = 0; wait < 100 && new Set(blocked).size < 4; wait += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return blocked;
    });
    expect([...new Set(violations)].sort()).toEqual([
      "connect-src",
      "img-src",
      "require-trusted-types-for",
      "style-src-elem",
    ]);
  });

  await test.step("no file but the bundle's", async () => {
    const answers = await app.evaluate(async ({ session: electronSession }) => {
      const urls = [
        "app://panel/../../package.json",
        "app://panel/..%2f..%2fpackage.json",
        "app://panel/%2e%2e/main/main.js",
        "app://elsewhere/index.html",
        "app://panel/assets/nothing.js",
      ];
      const statuses: number[] = [];
      for (const url of urls) {
        statuses.push(
          await electronSession.defaultSession.fetch(url).then(
            (response) => response.status,
            () => -1,
          ),
        );
      }
      return statuses;
    });
    for (const status of answers) expect([404, -1]).toContain(status);
  });

  await test.step("no request that main did not check", async () => {
    const answers = await page.evaluate(async () => {
      const { torpor } = globalThis as unknown as {
        torpor: { request(channel: string, params: unknown): Promise<unknown> };
      };
      const ask = (channel: string, params: unknown): Promise<unknown> =>
        torpor.request(channel, params).catch((error: unknown) => String(error));
      return {
        unknownChannel: await ask("files:read", { path: "/etc/passwd" }),
        notOffered: await ask("agent:terminal.input", {}),
        wrongType: await ask("agent:applications.start", { app: 7 }),
        extraKey: await ask("agent:applications.start", { app: "ward-board", shell: true }),
        strangeId: await ask("terminals:open", { applicationId: "../../x", cols: 80, rows: 24 }),
      };
    });
    expect(answers.unknownChannel).toMatch(/no request channel files:read/);
    expect(answers.notOffered).toMatch(/no request channel/);
    for (const refused of [answers.wrongType, answers.extraKey, answers.strangeId]) {
      expect(refused).toMatchObject({ ok: false, failure: { code: "invalid-params" } });
    }
    expect(session.agent.orders).toEqual([]);
  });

  // Last, because Playwright waits for a navigation that never comes.
  await test.step("no navigation", async () => {
    await page.evaluate(() => {
      const link = document.createElement("a");
      link.href = "https://example.org/";
      document.body.append(link);
      link.click();
    });
    const shown = await app.evaluate(async ({ BrowserWindow }) => {
      const contents = BrowserWindow.getAllWindows()[0]?.webContents;
      const links: unknown = await contents?.executeJavaScript("document.links.length");
      return { url: contents?.getURL(), links };
    });
    expect(shown).toEqual({ url: "app://panel/", links: 1 });
  });
});
