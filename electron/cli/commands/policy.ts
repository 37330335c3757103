/** `torpor policy show|check|edit|save`: what an application's file says, and what would happen next. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import type { AgentClient } from "../../contract/client.js";
import {
  fail,
  FailureError,
  MAX_APPLICATION_FILE_BYTES,
  toFailure,
  type Decision,
  type ImageRecord,
  type PolicyCheck,
  type PolicyFile,
} from "../../contract/index.js";
import { argument, textOption, type Command, type Context } from "../command.js";
import { ask } from "../confirm.js";
import { editFile, editorCommand } from "../editor.js";
import type { Output } from "../output.js";
import { time } from "../quantities.js";
import { reportFailure } from "../report-failure.js";
import { describeDecision } from "./recovery.js";

const application = { name: "APP", kind: "application" } as const;
const whatMayChange =
  "Changed may be [capture], [restore], [keep], [recovery], [health], name, order, start and stop-grace: who\n" +
  "uses the agent's socket does not decide what runs as whom. For the rest, edit the file itself as root.";

export const policyCommands: readonly Command[] = [
  {
    name: "policy show",
    summary: "Print an application's file as it is, comments and all",
    arguments: [application],
    options: {},
    async run(invocation, { agent, output }) {
      const { file } = await (await agent()).call("policy.read", { app: argument(invocation, 0) });
      output.data({ file });
      if (!output.json) {
        output.raw(file.text);
      }
      return 0;
    },
  },
  {
    name: "policy check",
    summary: "Check the policy of an application and say what would happen next",
    arguments: [{ ...application, optional: true }],
    options: {
      file: {
        type: "string",
        short: "f",
        value: "FILE",
        help: "check this instead of the application's file; - for standard input",
      },
    },
    details: "Without APP: of all applications. Exit status 2 when a file has an error.",
    async run(invocation, { agent, output }) {
      const [app] = invocation.positionals;
      const file = textOption(invocation, "file");
      if (file !== undefined && app === undefined) {
        fail("usage", { happened: "--file needs the application that the file is meant for." });
      }
      const text = file === undefined ? {} : { text: await textOf(file) };
      const client = await agent();
      const { checks } = await client.call(
        "policy.check",
        app === undefined ? {} : { app, ...text },
      );
      const { images } = await client.call("images.list", app === undefined ? {} : { app });
      output.data({ checks });
      for (const [index, check] of checks.entries()) {
        if (index > 0) {
          output.line();
        }
        describe(check, images, output);
      }
      return checks.some(({ problem }) => problem !== null) ? 2 : 0;
    },
  },
  {
    name: "policy edit",
    summary: "Change an application's policy in an editor; it is checked before it is saved",
    arguments: [application],
    options: {},
    details: `The editor is $VISUAL, else $EDITOR, else vi or nano.\n${whatMayChange}`,
    run: edit,
  },
  {
    name: "policy save",
    summary: "Check a file and make it an application's own",
    arguments: [application, { name: "FILE", kind: "file" }],
    options: {},
    details: `FILE may be - for standard input.\n${whatMayChange}`,
    async run(invocation, { agent, output }) {
      const app = argument(invocation, 0);
      const text = await textOf(argument(invocation, 1));
      const client = await agent();
      const { file: current } = await client.call("policy.read", { app });
      const { file } = await client.call("policy.save", { app, text, revision: current.revision });
      output.data({ file });
      output.line(saved(current, file));
      return 0;
    },
  },
];

async function edit(invocation: Parameters<Command["run"]>[0], context: Context): Promise<number> {
  const { output, environment } = context;
  const app = argument(invocation, 0);
  if (output.json) {
    fail("usage", {
      happened: "policy edit opens an editor; it has no --json.",
      remedy: "A script uses policy show and policy save.",
    });
  }
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    fail("usage", {
      happened: "policy edit needs a terminal for its editor.",
      remedy: "A script uses policy show and policy save.",
    });
  }
  const editor = editorCommand(environment);
  const client = await context.agent();
  const { file: current } = await client.call("policy.read", { app });
  const folder = mkdtempSync(join(tmpdir(), "torpor-policy-"));
  const copy = join(folder, `${app}.toml`);
  let kept = false;
  try {
    writeFileSync(copy, current.text, { mode: 0o600 });
    for (;;) {
      await editFile(editor, copy);
      const text = readFileSync(copy, "utf8");
      if (text === current.text) {
        output.line("Nothing was changed.");
        return 0;
      }
      try {
        output.line(saved(current, await save(client, app, text, current.revision)));
        return 0;
      } catch (error) {
        const status = reportFailure(output, toFailure(error));
        if (!(error instanceof FailureError) || !(await ask("Edit it again? [Y/n] ", true))) {
          kept = true;
          output.warn(`What you wrote is in ${copy}.`);
          return status;
        }
      }
    }
  } finally {
    if (!kept) {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function save(
  client: AgentClient,
  app: string,
  text: string,
  revision: string,
): Promise<PolicyFile> {
  return (await client.call("policy.save", { app, text, revision })).file;
}

function saved(before: PolicyFile, after: PolicyFile): string {
  return before.text === after.text
    ? `${after.file} says that already.`
    : `Saved ${after.file}. What runs, runs on; the policy counts from now.`;
}

/** A file's text, or that of standard input. */
async function textOf(file: string): Promise<string> {
  let text: string;
  try {
    text = file === "-" ? await readAll(process.stdin) : readFileSync(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return fail("usage", {
      happened:
        code === "ENOENT" ? `There is no file ${file}.` : `${file} can't be read: ${message}.`,
    });
  }
  if (Buffer.byteLength(text) > MAX_APPLICATION_FILE_BYTES) {
    fail("usage", {
      happened: `${file} is larger than an application's file may be (${MAX_APPLICATION_FILE_BYTES} bytes).`,
    });
  }
  return text;
}

function describe(check: PolicyCheck, images: readonly ImageRecord[], output: Output): void {
  const { problem } = check;
  output.line(output.style("bold", check.applicationId));
  if (problem !== null) {
    const place = problem.line === null ? problem.file : `${problem.file}, line ${problem.line}`;
    const key = problem.key === null ? "" : `, key "${problem.key}"`;
    output.line(output.style("red", `  ${place}${key}: ${problem.message}`));
    if (check.keeps.length === 0) {
      output.line("  None of it holds until that is corrected.");
      return;
    }
  }
  const list = (parts: readonly string[], none: string): string =>
    parts.length === 0 ? none : parts.join("; ");
  output.line(`  Images are taken  ${list(check.captures, "only when somebody asks")}`);
  if (check.nextCaptureAt !== null) {
    output.line(`  Next one due      ${time(check.nextCaptureAt)}`);
  }
  output.line(`  Images kept       ${list(check.keeps, "all of them")}`);
  output.line(`  Watched by        ${list(check.health, "its processes only")}`);
  const steps: [string, Decision | null][] = [
    ["At the next crash", check.onCrash],
    ["At the next hang", check.onHang],
    ["At the next start", check.onStart],
  ];
  for (const [when, decision] of steps) {
    output.line(`  ${when}:`);
    if (decision === null) {
      output.line(check.supervised ? "    nothing" : "    nothing: its file has no [recovery]");
    } else {
      describeDecision(decision, images, output, "    ");
    }
  }
}
