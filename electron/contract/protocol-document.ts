/**
 * Writes docs/protocol.md from the schemas, so that the document can't say anything else than what is
 * checked. What a schema can't say stands here, in maps that the compiler keeps complete.
 */
import {
  applicationRecordSchema,
  configProblemSchema,
  lifeSchema,
  measurementSchema,
  surfaceSchema,
} from "./application.js";
import { eventNameSchema, events, type EventName } from "./events.js";
import { exitReportSchema } from "./exit.js";
import {
  blockerSchema,
  exitStatusOfCode,
  failureDetailSchema,
  failureSchema,
  type FailureCode,
} from "./failure.js";
import { imageDescriptionSchema, inspectionSchema, processSchema } from "./helper-output.js";
import { sizesSchema } from "./identifiers.js";
import { imageRecordSchema } from "./image.js";
import * as limits from "./limits.js";
import { rpcErrorNumbers } from "./messages.js";
import { methods, type MethodName } from "./methods.js";
import { decisionSchema, occurrenceRecordSchema, passedOverSchema } from "./occurrence.js";
import { policyCheckSchema, policyFileSchema } from "./policy-check.js";
import { heldImageSchema, pruneEntrySchema } from "./prune.js";
import { operationRecordSchema, operationResultSchema } from "./operation.js";
import {
  doctorReportSchema,
  featureSchema,
  auditEntrySchema,
  noticeSchema,
  storeRecordSchema,
  systemInfoSchema,
} from "./system.js";
import { controlDocument } from "./control-document.js";
import {
  limitTable,
  members,
  notation,
  table,
  takesAndGives,
  type NamedRecords,
} from "./protocol-notation.js";

const methodSummaries: Record<MethodName, string> = {
  "system.info": "The agent, its folders and stores, the machine.",
  "doctor.run": "What this machine can do and what is missing for what.",
  "events.subscribe":
    "From now on this connection gets the events named, or all of them. Replaces an earlier choice.",
  "events.unsubscribe": "No more events; those of open terminals still come.",
  "applications.list":
    "All applications: configured ones, and those that only run or only have images (any more).",
  "applications.get": "One application.",
  "applications.start": "A clean start.",
  "applications.stop":
    "SIGTERM; a hang-up (SIGHUP) after a second where there is a terminal; SIGKILL after the grace. Nothing is captured. A hibernated or failed application becomes stopped; its images stay.",
  "applications.watch":
    "Which applications this connection looks at: they are measured every two seconds while somebody looks, and `application.measured` tells it. An empty list ends it.",
  "capture.start":
    "A boot image of the running application. `hibernate`: the tree ends once the image is durable. `keep: false`: the previous image goes once the new one is durable. Refused with `inhibited` while the application asks not to be captured, unless `force` is set.",
  "hibernate.marked":
    "Before the machine goes down: hibernates every running application whose file says at-shutdown, within the limit (by default that of agent.toml). Answers when all is done; `problem` says why one was not.",
  "wake.start":
    "Brings an application that does not run back: from the image that it was hibernated to, or the one given.",
  "restore.start":
    "Puts an application to an image: the one given, or the newest usable one. `captureFirst`: what runs is captured before. The restored tree is built beside the running one, which ends only when the new one stands. No image is deleted.",
  "images.list": "Of one application or of all, newest first.",
  "images.get": "One image; any beginning of its id will do that is its alone.",
  "images.show": "What the file says of itself; with the sections asked for, all of it.",
  "images.picture":
    "What the application showed when the image was made: its display as PNG, its terminal as SVG. `null` where the image has no picture.",
  "images.verify": "Reads every block. Sets `verifiedAt`, or the state `damaged`.",
  "images.delete":
    "Deletes file and record. Refused while the image is in use, and while another one builds on it.",
  "images.move":
    "To another folder, also on another file system: copied, made durable, entered into the catalog, and only then removed from where it was. Images that build on one another go together, all or none.",
  "images.label": "Changes the label; null or an empty text takes it away.",
  "images.pin": "Pins an image, or takes the pin out: pruning never deletes a pinned one.",
  "images.remark": "Changes the remark; null or an empty text takes it away.",
  "images.flatten":
    "Writes an incremental image anew as one that builds on no other, in its place and with its id, label and marks. Refused while another image builds on it (`in-use`).",
  "images.prune":
    "Deletes what the retention rules of the applications' files let go, and says why each goes, and of those that no rule wants and that stay (`held`) why they do. `dryRun`: deletes nothing.",
  "images.rescan":
    "Looks through the stores: adds unknown images, marks missing ones, takes returned ones back.",
  "operations.list": "Newest first; `active`: only those that have not ended.",
  "operations.get": "One operation.",
  "operations.wait": "Answers when the operation has ended, or as it is when the time is up.",
  "operations.cancel":
    "Asks an operation to end. Answers at once; the operation ends soon after with the state `cancelled`, and everything is as it was before it.",
  "inspect.run":
    "A tree, its three sizes, and what stands in the way of a capture. Nothing is stopped for it.",
  "terminal.open":
    "Opens the application's terminal for this connection. `terminal.output` follows, the first even before the answer.",
  "terminal.input": "Bytes that were typed, as base64.",
  "terminal.resize": "The terminal's new size; with several clients the last one wins.",
  "terminal.close": "Closes this view of the terminal; the application runs on.",
  "display.open":
    "Connects to the application's private display, as a viewer that speaks RFB 3.8 (RFC 6143) with its X server. Ends with the life that it was opened in.",
  "display.start": "Lets the server speak: `display.output` follows.",
  "display.input": "Bytes of RFB for the server, as base64.",
  "display.close": "Closes this view of the display; the application runs on.",
  "policy.read": "The application's file as it is on the disk.",
  "policy.check":
    "What the policy of one application, or of all, says, and what would happen at the next crash, hang and start. `text`: an edited file is checked instead; nothing is written.",
  "policy.save":
    "Writes the application's file, if it is valid and `revision` is that of the file as it is now. Comments are part of the text. Refused with `not-permitted` where it changes more than policy (`capture`, `restore`, `keep`, `recovery`, `health`, `name`, `order`, `start`, `stop-grace`): command, user, environment and the commands of probes say what runs as whom.",
  "recovery.explain":
    "What would be done if this happened to the application now, without doing it. Null where its file has no [recovery].",
  "recovery.run":
    "Does now what the rules say about such an occurrence; for an application that does not run. Answers at once, with what was decided.",
  "recovery.history":
    "Occurrences with what was decided about each, why, and what came of it; newest first.",
  "audit.list":
    "What was done to applications and images and how it ended, newest first, also where they are gone since. The last 100,000 entries are kept.",
  "notices.list": "What happened without being asked for, newest first.",
  "notices.dismiss": "Removes one notice, or all of them.",
};

const eventSummaries: Record<EventName, string> = {
  "application.changed":
    "An application is new, or anything of it has changed but its measurement.",
  "application.removed": "Its file is gone, it does not run, and it has no images.",
  "application.measured": "New sizes of a tree that this connection watches.",
  "image.added": "A new image, or one that was found.",
  "image.changed": "Label, place or state of an image.",
  "image.removed": "An image was deleted or replaced.",
  "operation.changed": "Start, progress (at most ten a second) and end of an operation.",
  "occurrence.added":
    "Something happened to an application: what is done about it, and why every image that is not used was passed over.",
  "occurrence.changed": "What is done about an occurrence has begun, ended or been superseded.",
  "notice.added": "A new notice.",
  "notice.removed": "A notice was dismissed, by this client or another one; null: all of them.",
  "terminal.output":
    "Bytes for a terminal. A `snapshot` repaints everything, beginning with clearing screen and scrollback. One comes after opening, and after the application was restored.",
  "terminal.resized": "The terminal has another size now, whoever changed it.",
  "terminal.closed": "The last event of a terminal.",
  "display.output": "Bytes of RFB from the display's server, as base64.",
  "display.closed":
    "The last event of a display: it was closed, its server hung up, or its capsule has ended.",
};

const codeMeanings: Record<FailureCode, string> = {
  usage: "the command line is wrong",
  blocked: "the tree has something that can't be captured; `detail.blockers` names it",
  damaged: "the image is damaged",
  foreign: "the file is not a boot image",
  incompatible: "the image is from another kind of machine or format",
  "parent-missing": "the image that this one builds on is not there",
  "no-such-process": "there is no such process (any more)",
  "no-such-capsule": "there is no such capsule (any more)",
  "no-picture": "the image has no picture",
  "no-room": "no store has the room",
  "pid-taken": "a PID that is needed is in use",
  resource: "something else that is needed is missing, such as a kernel feature",
  cancelled: "it was cancelled",
  busy: "another operation holds the application; `detail.operationId` names it",
  "not-permitted": "a right is missing",
  internal: "a defect of Torpor",
  "invalid-message": "the message is not JSON, or not a request",
  "unknown-method": "there is no such method",
  "invalid-params": "the parameters are wrong; `detail.key` names the one",
  "message-too-large": "the message is longer than allowed; the connection is closed",
  "ambiguous-image": "several images begin so",
  "failed-to-load": "the application's file has an error",
  "image-missing": "the image's file is not there",
  "no-such-application": "there is no such application",
  "no-such-image": "there is no such image",
  "no-such-operation": "there is no such operation",
  "no-such-terminal": "this connection has no such terminal open",
  "no-such-display": "this connection has no such display open",
  "not-running": "the application does not run",
  "not-hibernated": "the application is not hibernated",
  "already-running": "the application runs already",
  "in-use": "the image is being used, or another one builds on it, or a file of that name exists",
  "no-terminal": "the application has no terminal, or it does not answer",
  "no-display": "the application has no display, or it does not answer",
  "store-unusable": "the store is gone, read-only or not a folder",
  "too-many": "too many clients, unanswered requests, terminals or displays",
  "start-failed": "the program ended at once",
  inhibited: "the application asks not to be captured now, and says why",
  "agent-unreachable": "the client could not reach the agent (never sent by the agent)",
};

const limitMeanings: Record<keyof typeof limits, string> = {
  PROTOCOL_VERSION: "version of this protocol, in `system.info`",
  MAX_REQUEST_BYTES: "longest message to the agent, in bytes",
  MAX_RESPONSE_BYTES: "longest message to a client, in bytes",
  MAX_CLIENTS: "clients at once",
  MAX_PENDING_REQUESTS: "unanswered requests of one client",
  MAX_UNREAD_BYTES: "unread bytes after which a client is disconnected",
  MAX_MALFORMED_MESSAGES: "messages that are no requests, after which a client is disconnected",
  MESSAGE_TIMEOUT_MS: "time in which a message that was begun must end, in milliseconds",
  MAX_TERMINALS_PER_CLIENT: "open terminals of one client",
  MAX_TERMINAL_INPUT_BYTES: "longest terminal input of one message, in bytes before base64",
  MAX_DISPLAYS_PER_CLIENT: "open displays of one client",
  MAX_DISPLAY_INPUT_BYTES: "longest display input of one message, in bytes before base64",
  MAX_PICTURE_BYTES: "longest picture of an image, in bytes before base64",
  MAX_LABEL_LENGTH: "longest label, in UTF-16 units",
  MAX_REMARK_LENGTH: "longest remark, in UTF-16 units",
  MAX_TERMINAL_SIDE: "most columns or rows of a terminal",
  MAX_APPLICATION_FILE_BYTES: "largest file in apps.d, in bytes",
  MAX_GRACE_MS: "longest grace of a stop, in milliseconds",
  MAX_WAIT_MS: "longest time of one `operations.wait`, in milliseconds",
  MAX_LIST_LENGTH: "most records of one list",
  MAX_CHAIN_IMAGES: "most images that build on one another, the complete one included",
};

/** Records that several methods and events share, by the names that the document gives them. */
const records: NamedRecords = [
  ["Application", applicationRecordSchema],
  ["Life", lifeSchema],
  ["Surface", surfaceSchema],
  ["ConfigProblem", configProblemSchema],
  ["Exit", exitReportSchema],
  ["Measurement", measurementSchema],
  ["Sizes", sizesSchema],
  ["Image", imageRecordSchema],
  ["ImageDescription", imageDescriptionSchema],
  ["PruneEntry", pruneEntrySchema],
  ["HeldImage", heldImageSchema],
  ["Operation", operationRecordSchema],
  ["OperationResult", operationResultSchema],
  ["Inspection", inspectionSchema],
  ["Process", processSchema],
  ["Blocker", blockerSchema],
  ["Failure", failureSchema],
  ["FailureDetail", failureDetailSchema],
  ["SystemInfo", systemInfoSchema],
  ["DoctorReport", doctorReportSchema],
  ["Feature", featureSchema],
  ["Store", storeRecordSchema],
  ["PolicyFile", policyFileSchema],
  ["PolicyCheck", policyCheckSchema],
  ["Occurrence", occurrenceRecordSchema],
  ["Decision", decisionSchema],
  ["PassedOver", passedOverSchema],
  ["Notice", noticeSchema],
  ["AuditEntry", auditEntrySchema],
  ["EventName", eventNameSchema],
];

export function protocolDocument(): string {
  return [
    introduction,
    "## Limits",
    limitTable(limits, limitMeanings),
    "## Methods",
    "Parameters that end in `?` may be left out. Unknown parameters are refused.",
    ...Object.entries(methods).map(([name, { params, result }]) =>
      [
        `### \`${name}\``,
        methodSummaries[name as MethodName],
        takesAndGives(params, result, records),
      ].join("\n\n"),
    ),
    "## Events",
    "Notifications: requests without an id, from the agent to the client. A client leaves events alone that it does not know.",
    ...Object.entries(events).map(([name, schema]) =>
      [
        `### \`${name}\``,
        eventSummaries[name as EventName],
        `- carries ${notation(schema, records)}`,
      ].join("\n\n"),
    ),
    "## Records",
    ...records.map(([name, schema]) => `### ${name}\n\n${members(schema, records)}`),
    "## Errors",
    errorIntroduction,
    table(
      ["code", "exit status", "JSON-RPC number", "what happened"],
      Object.entries(codeMeanings).map(([code, meaning]) => [
        `\`${code}\``,
        String(exitStatusOfCode[code as FailureCode]),
        String(
          (rpcErrorNumbers as Partial<Record<string, number>>)[code] ?? rpcErrorNumbers.torpor,
        ),
        meaning,
      ]),
    ),
    controlDocument(),
    "",
  ]
    .join("\n\n")
    .replace(/\n+$/, "\n");
}

const introduction = `# The operator socket

Generated from \`electron/contract\`: change the schemas there, then run
\`UPDATE_PROTOCOL_DOCUMENT=1 npx vitest run electron/contract/protocol-document.test.ts\`.

The agent listens on \`agent.sock\` in its runtime folder (\`/run/torpor\`, or \`$TORPOR_HOME/run\`). Panel and
\`torpor\` command use nothing else. Whoever may open the socket may do everything in this document: its
mode is 0660, its group \`torpor\` where there is one (\`TORPOR_OPERATOR_GROUP\` names another), its owner
root (\`TORPOR_OPERATOR_UID\` names another).

It speaks JSON-RPC 2.0: UTF-8, one message a line, no batches. A client sends requests, the agent answers
each of them once, in any order, and sends events in between:

\`\`\`
→ {"jsonrpc":"2.0","id":1,"method":"capture.start","params":{"app":"ward-board","label":"after login"}}
← {"jsonrpc":"2.0","id":1,"result":{"operation":{"id":"op-m1x2y3","kind":"capture","state":"running",…}}}
← {"jsonrpc":"2.0","method":"operation.changed","params":{"operation":{"id":"op-m1x2y3","phase":"memory","doneBytes":1048576,…}}}
→ {"jsonrpc":"2.0","id":2,"method":"operations.wait","params":{"operation":"op-m1x2y3"}}
← {"jsonrpc":"2.0","id":2,"result":{"operation":{"id":"op-m1x2y3","state":"succeeded","result":{"imageId":"1f2e…","pauseMs":3.1,…},…}}}
\`\`\`

What takes long is an operation: the method that begins it answers at once. One operation at a time may
change an application; a second is refused with \`busy\`. An operation that has begun goes on when its
client is gone.

Every message is checked by the schemas before anything is done. What is not a request is answered with an
error without an id; a client that keeps sending such things, or one message that is too long or never
ends, is disconnected. Nobody else notices.`;

const errorIntroduction = `An error's \`data\` is a Failure: \`code\` for programs, \`message\` for people (what happened, what is still as
it was, what to do), \`detail\` with the same in parts. A failed operation carries it as \`error\`. The
\`torpor\` command ends with the exit status beside the code. A message that is not JSON has the JSON-RPC
number ${rpcErrorNumbers["invalid-json"]}.`;
