// The panel as its user sees it: named places and what can be done there, found by role and name.
import AxeBuilder from "@axe-core/playwright";
import { expect, type Locator, type Page } from "@playwright/test";

export class PanelPage {
  readonly page: Page;
  readonly applications: Locator;
  readonly timeline: Locator;
  readonly images: Locator;
  readonly details: Locator;
  readonly terminal: Locator;
  readonly display: Locator;
  readonly operation: Locator;
  readonly dialog: Locator;
  readonly toasts: Locator;

  constructor(page: Page) {
    this.page = page;
    this.applications = page.getByRole("listbox", { name: "Applications" });
    this.timeline = page.getByRole("region", { name: "Timeline" });
    this.images = page.getByRole("listbox", { name: /^Boot images of / });
    this.details = page.getByRole("complementary", { name: "Chosen image" });
    this.terminal = page.getByRole("region", { name: "Terminal" });
    this.display = page.getByRole("region", { name: "Display" });
    this.operation = page.getByRole("region", { name: "Operation" });
    this.dialog = page.locator('[role="dialog"], [role="alertdialog"]');
    this.toasts = page.getByRole("region", { name: "New notices" });
  }

  application(name: string): Locator {
    return this.applications.getByRole("option", { name });
  }

  image(name: string | RegExp): Locator {
    return this.imageRows.and(this.images.getByRole("option", { name }));
  }

  /** The rows of images, without those of what happened between them. */
  get imageRows(): Locator {
    return this.images.getByRole("option").filter({ has: this.page.locator(".image-status") });
  }

  /** A row of what happened. */
  occurrence(name: string | RegExp): Locator {
    return this.images
      .getByRole("option", { name })
      .filter({ has: this.page.locator(".occurrence-kind") });
  }

  action(name: string): Locator {
    return this.page
      .getByRole("group", { name: "Actions", exact: true })
      .getByRole("button", { name, exact: true });
  }

  imageAction(name: string): Locator {
    return this.page
      .getByRole("group", { name: "Actions on the image" })
      .getByRole("button", { name, exact: true });
  }

  async choose(name: string): Promise<void> {
    await this.application(name).click();
    await expect(this.page.getByRole("heading", { level: 1 })).toHaveText(name);
  }

  /** The state's word beside the heading. */
  async expectState(word: string, timeout = 30_000): Promise<void> {
    await expect(this.page.locator(".application-state-line .state-mark")).toHaveText(word, {
      timeout,
    });
  }

  async answer(button: string): Promise<void> {
    await this.dialog.getByRole("button", { name: button, exact: true }).click();
    await expect(this.dialog).toHaveCount(0);
  }

  /** The terminal's text as a screen reader gets it. */
  async terminalText(): Promise<string> {
    const rows = await this.terminal.locator(".xterm-rows > div").allTextContents();
    return rows.map((row) => row.replaceAll("\u00a0", " ").trimEnd()).join("\n");
  }

  async typeIntoTerminal(text: string): Promise<void> {
    await this.terminal.locator(".xterm").click();
    await this.page.keyboard.type(text);
  }

  /** Fails with what is wrong and where, if anything is. */
  async expectNoAccessibilityViolations(where: string): Promise<void> {
    // Legacy mode: the other one opens a page of its own, which the panel forbids.
    const { violations } = await new AxeBuilder({ page: this.page }).setLegacyMode(true).analyze();
    const told = violations.flatMap((violation) =>
      violation.nodes.map(
        (node) => `${violation.id}: ${node.target.join(" ")}: ${node.failureSummary ?? ""}`,
      ),
    );
    expect(told, `accessibility of ${where}`).toEqual([]);
  }
}
