/** `torpor start|stop|capture|hibernate|wake|restore`: what is done to an application. */
import { fail, type MethodParams, type OperationRecord } from "../../contract/index.js";
import {
  argument,
  flag,
  textOption,
  type Command,
  type Context,
  type Invocation,
} from "../command.js";
import { confirm } from "../confirm.js";
import { milliseconds, shortId, size } from "../quantities.js";
import { runOperation } from "../run-operation.js";

const application = { name: "APP", kind: "application" } as const;
const image = {
  type: "string",
  short: "i",
  value: "ID",
  help: "the image, by the first digits of its id",
} as const;
const captureOptions = {
  label: { type: "string", short: "l", value: "TEXT", help: "what to call the image" },
  compress: {
    type: "string",
    value: "HOW",
    help: "none, lz4 or zstd; default: what the application's file says",
    choices: ["none", "lz4", "zstd"],
  },
  replace: { type: "boolean", help: "the previous image goes once this one is durable" },
  force: { type: "boolean", help: "also while the application asks not to be captured now" },
} as const;

export const lifeCommands: readonly Command[] = [
  {
    name: "hibernate-marked",
    summary: "Hibernate every application that is marked with at-shutdown",
    arguments: [],
    options: {
      limit: { type: "string", value: "SECONDS", help: "what is not done by then runs on" },
    },
    details: "Called by the agent's unit before the machine goes down.",
    run: hibernateMarked,
  },
  {
    name: "start",
    summary: "Start an application cleanly",
    arguments: [application],
    options: {},
    run: (invocation, context) =>
      operate(
        context,
        async (client) => client.call("applications.start", { app: argument(invocation, 0) }),
        (ended) => `Started ${ended.applicationId}.`,
      ),
  },
  {
    name: "stop",
    summary: "End an application without capturing it",
    arguments: [application],
    options: {
      grace: { type: "string", value: "SECONDS", help: "time between SIGTERM and SIGKILL" },
    },
    run: (invocation, context) => {
      const grace = textOption(invocation, "grace");
      if (grace !== undefined && !/^\d{1,3}(\.\d{1,3})?$/.test(grace)) {
        fail("usage", { happened: `--grace must be a number of seconds, not "${grace}".` });
      }
      return operate(
        context,
        async (client) =>
          client.call("applications.stop", {
            app: argument(invocation, 0),
            ...(grace === undefined ? {} : { graceMs: Math.round(Number(grace) * 1000) }),
          }),
        (ended) => `Stopped ${ended.applicationId}.`,
      );
    },
  },
  {
    name: "capture",
    summary: "Take a boot image of a running application, which runs on",
    arguments: [application],
    options: captureOptions,
    run: (invocation, context) =>
      operate(
        context,
        async (client) => client.call("capture.start", captureParams(invocation, false)),
        describeCapture,
      ),
  },
  {
    name: "hibernate",
    summary: 'Take a boot image and end the application; "wake" brings it back',
    arguments: [application],
    options: captureOptions,
    run: (invocation, context) =>
      operate(
        context,
        async (client) => client.call("capture.start", captureParams(invocation, true)),
        describeCapture,
      ),
  },
  {
    name: "wake",
    summary: "Bring a hibernated application back",
    arguments: [application],
    options: { image },
    run: (invocation, context) =>
      operate(
        context,
        async (client) =>
          client.call("wake.start", { app: argument(invocation, 0), ...imageParam(invocation) }),
        describeRestore,
      ),
  },
  {
    name: "restore",
    summary: "Put an application to one of its images",
    arguments: [application],
    options: {
      image: { ...image, help: "the image, by the first digits of its id; default: the newest" },
      "no-capture": { type: "boolean", help: "do not capture what runs now before it is replaced" },
      yes: { type: "boolean", short: "y", help: "do not ask" },
    },
    details:
      "What runs is captured first, so that nothing is lost; with --no-capture it is lost. The running\n" +
      "application ends only when the restored one stands: a restore that fails leaves it as it was.",
    run: restore,
  },
];

async function hibernateMarked(
  invocation: Invocation,
  { agent, output }: Context,
): Promise<number> {
  const limit = textOption(invocation, "limit");
  const seconds = Number(limit ?? 0);
  if (limit !== undefined && !(seconds > 0 && seconds <= 3600)) {
    fail("usage", { happened: "--limit must be a number of seconds up to 3600." });
  }
  const client = await agent();
  const result = await client.call(
    "hibernate.marked",
    limit === undefined ? {} : { limitMs: Math.round(seconds * 1000) },
  );
  output.data(result);
  for (const { applicationId, imageId, problem } of result.applications) {
    output.line(
      problem === null
        ? `Hibernated ${applicationId}: image ${shortId(imageId)}.`
        : `${applicationId} was not hibernated: ${problem}`,
    );
  }
  return result.applications.every(({ problem }) => problem === null) ? 0 : 6;
}

async function restore(invocation: Invocation, context: Context): Promise<number> {
  const app = argument(invocation, 0);
  const captureFirst = !flag(invocation, "no-capture");
  if (!captureFirst && !flag(invocation, "yes")) {
    const client = await context.agent();
    const { application: record } = await client.call("applications.get", { app });
    if (
      record.life !== null &&
      !(await confirm({
        question: `What ${record.name} does now will be lost. Restore without capturing it?`,
        about: `What ${record.name} does now would be lost`,
      }))
    ) {
      context.output.warn("Nothing was changed.");
      return 6;
    }
  }
  return operate(
    context,
    async (client) =>
      client.call("restore.start", { app, captureFirst, ...imageParam(invocation) }),
    describeRestore,
  );
}

function captureParams(invocation: Invocation, hibernate: boolean): MethodParams<"capture.start"> {
  const label = textOption(invocation, "label");
  const compress = textOption(invocation, "compress");
  if (compress !== undefined && compress !== "none" && compress !== "lz4" && compress !== "zstd") {
    fail("usage", { happened: `--compress must be none, lz4 or zstd, not "${compress}".` });
  }
  return {
    app: argument(invocation, 0),
    hibernate,
    ...(label === undefined ? {} : { label }),
    ...(compress === undefined ? {} : { compress }),
    ...(flag(invocation, "replace") ? { keep: false } : {}),
    ...(flag(invocation, "force") ? { force: true } : {}),
  };
}

function imageParam(invocation: Invocation): { image?: string } {
  const reference = textOption(invocation, "image");
  return reference === undefined ? {} : { image: reference };
}

async function operate(
  { agent, output }: Context,
  begin: (client: Awaited<ReturnType<Context["agent"]>>) => Promise<{ operation: OperationRecord }>,
  describe: (ended: OperationRecord) => string,
): Promise<number> {
  const client = await agent();
  const ended = await runOperation(client, output, () => begin(client));
  output.data({ operation: ended });
  output.line(describe(ended));
  for (const note of ended.result?.notes ?? []) {
    output.line(`  Note: ${note}`);
  }
  return 0;
}

function describeCapture({ kind, applicationId, result }: OperationRecord): string {
  const replaced =
    result?.replacedImageId === undefined ? "" : ` It replaces ${shortId(result.replacedImageId)}.`;
  return `${kind === "hibernate" ? "Hibernated" : "Captured"} ${applicationId}: image ${shortId(result?.imageId ?? null)}, ${size(result?.bytes ?? 0)}, pause ${milliseconds(result?.pauseMs)}.${replaced}`;
}

function describeRestore({ kind, applicationId, result }: OperationRecord): string {
  const before =
    result?.beforeImageId === undefined
      ? ""
      : ` What ran before is image ${shortId(result.beforeImageId)}.`;
  return `${kind === "wake" ? "Woke" : "Restored"} ${applicationId} from image ${shortId(result?.imageId ?? null)}: first instruction after ${milliseconds(result?.firstInstructionMs)}.${before}`;
}
