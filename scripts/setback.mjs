// Failures that a person can act on, and the one place that prints them: no stack trace reaches a user.

/** Something is missing or went wrong for a reason outside this code; says what it is and how to put it right. */
export class Setback extends Error {
  /**
   * @param {string} what what is missing or failed, one line
   * @param {string} how what to do about it
   * @param {string} [detail] the end of the failed program's output
   */
  constructor(what, how, detail = "") {
    super(what);
    this.name = "Setback";
    this.how = how;
    this.detail = detail;
  }
}

/**
 * Runs a script's main function and turns whatever it throws into words and an exit status.
 * @param {() => Promise<number | void>} main resolves to the exit status; nothing means 0
 */
export async function runScript(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof Setback) {
      if (error.detail !== "") console.error(indent(error.detail));
      console.error(`\ntorpor: ${error.message}\n  ${error.how.replaceAll("\n", "\n  ")}`);
      return;
    }
    process.exitCode = 70;
    const message = error instanceof Error ? error.message : String(error);
    console.error(`\ntorpor: this is a defect in one of its scripts: ${message}`);
    if (process.env.TORPOR_DEBUG === undefined) {
      console.error("  Set TORPOR_DEBUG=1 and run it again to see where.");
    } else {
      console.error(error);
    }
  }
}

/** @param {string} text */
function indent(text) {
  return text.trimEnd().replaceAll(/^/gm, "  | ");
}
