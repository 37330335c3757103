/**
 * The control socket's part of docs/protocol.md, from the schemas. What a schema can't say stands here, in
 * maps that the compiler keeps complete.
 */
import {
  checkpointOutcomeSchema,
  controlEventSchema,
  controlMethods,
  ownImageSchema,
  restorationSchema,
  type ControlEvent,
  type ControlEventKind,
  type ControlMethodName,
} from "./control.js";
import * as limits from "./control-limits.js";
import {
  limitTable,
  members,
  notation,
  takesAndGives,
  type NamedRecords,
} from "./protocol-notation.js";

const methodSummaries: Record<ControlMethodName, string> = {
  checkpoint:
    "Asks for a boot image of the application. Answers when the image is durable; with `wait: false` it answers `pending` at once, and `outcome` tells the rest. One image at a time is taken of an application: further requests, and those that come while an operator's work or an inhibition is in the way, wait for their turn in the order of asking. A ticket that is known is not asked for again: `pending` joins the wait, every other outcome is given as it is, so a failed request is repeated with a new ticket. `keep: false`: the newest image that the application has asked for goes once the new one is durable; a pinned image, one that is being read and one that another builds on stay.",
  outcome:
    "What became of a ticket. `restored` in a life that was begun from an image which was taken while the request was under way; the image carries its tickets, so that this is known also when the catalog was lost. `saved` in every other life. `unknown`: the agent has never heard of it; ask again with `checkpoint` and the same ticket. A failure is remembered, also across restarts of the agent, until 1,000 more of the application have failed; one whose reason is that the agent ended is `unknown` to the next.",
  images: "The application's own images, newest first: 20 unless `limit` says otherwise.",
  restore:
    "Asks to be put back to an own image: by the first digits of its id, or the newest with the label that can be restored. Answers before the tree is replaced; the occurrence is `application`. The life that asked ends, and with it the connection. If the restore fails, the life goes on and `restore-failed` says why.",
  status:
    "Which application and life this is, how its images are taken, its last image, room left.",
  heartbeat:
    "“I am alive.” Where the application's file asks for heartbeats, one that is missing counts as a hang.",
  ready:
    "Start-up is finished: a good moment for an image. A second time in one life changes nothing.",
  inhibit:
    "“Not now.” A capture that is not forced waits for the end (a checkpoint, a schedule) or is refused with `inhibited` and the reason (an operator's). It ends by `allow`, when its time is up, or with the life; **not** with the connection, so that a shell can use it. Several may be in force at once. A later life begins without any.",
  allow:
    "Ends an inhibition. `released: false`: there is none of that token (any more), for example in a later life.",
  subscribe:
    "From now on this connection gets the events named, or all of them; replaces an earlier choice. `life` is another number than before where the application was restored in between.",
  proceed: "Answers `about-to-capture`. `accepted: false`: the capture has begun already.",
};

const eventSummaries: Record<ControlEventKind, string> = {
  "about-to-capture": `A capture is about to be taken, whoever asked for it: close what an image can't hold, then \`proceed\` with the token. The capture waits for every subscriber that was told, until it has answered or its connection has ended, ${limits.PROCEED_TIMEOUT_MS / 1000} s at most. \`stop\`: the application ends with the capture.`,
  captured: "The image is durable, and this life goes on: reopen what was closed.",
  "capture-failed": "No image was written, and this life goes on: reopen what was closed.",
  restored:
    "This life was begun from an image. Sent once to each connection that subscribes to it, after the answer.",
  "restore-failed": "What `restore` asked for failed; this life goes on.",
};

const limitMeanings: Record<keyof typeof limits, string> = {
  CONTROL_PROTOCOL_VERSION: "version of this protocol, in `status`",
  MAX_CONTROL_MESSAGE_BYTES:
    "longest message in either direction, in bytes; a longer one closes the connection with `message-too-large`",
  MAX_CONTROL_CONNECTIONS:
    "connections of one capsule at once; one more is told `too-many` and closed",
  MAX_CONTROL_PENDING:
    "unanswered requests of one connection; one more closes it with `too-many`. Requests that wait for the rate count as unanswered",
  CONTROL_REQUESTS_PER_SECOND: "requests a second of one capsule; what comes faster is read later",
  CONTROL_REQUEST_BURST: "requests at once before that rate counts",
  MAX_CONTROL_UNREAD_BYTES: "unread bytes after which a connection is closed",
  MAX_CONTROL_MALFORMED:
    "messages that are no requests, after which a connection is closed with `invalid-message`",
  CONTROL_MESSAGE_TIMEOUT_MS: "time in which a message that was begun must end, in milliseconds",
  MAX_WAITING_CHECKPOINTS:
    "checkpoints of one application that are not finished; one more is refused with `too-many`",
  CHECKPOINT_WAIT_MS:
    "longest wait of a checkpoint for its turn, in milliseconds; then it has failed with `busy`",
  MAX_REMEMBERED_TICKETS:
    "tickets of one application that are remembered beside those that images carry",
  MAX_INHIBITIONS: "inhibitions of one application in force at once",
  MAX_INHIBIT_MS: "longest inhibition, in milliseconds",
  MAX_REASON_LENGTH: "longest reason of an inhibition, in UTF-16 units",
  PROCEED_TIMEOUT_MS: "longest wait for `proceed`, in milliseconds",
  MAX_CONTROL_IMAGES: "most images of one answer",
};

const records: NamedRecords = [
  ["CheckpointOutcome", checkpointOutcomeSchema],
  ["Restoration", restorationSchema],
  ["OwnImage", ownImageSchema],
];

export function controlDocument(): string {
  return [
    introduction,
    "## Limits of the control socket",
    limitTable(limits, limitMeanings),
    "## Methods of the control socket",
    ...Object.entries(controlMethods).map(([name, { params, result }]) =>
      [
        `### \`${name}\``,
        methodSummaries[name as ControlMethodName],
        takesAndGives(params, result, records),
      ].join("\n\n"),
    ),
    "## Events of the control socket",
    "Notifications with the method `event`, told apart by `kind`. A client leaves kinds alone that it does not know.",
    ...controlEventSchema.options.map((schema) => {
      const kind: ControlEvent["kind"] = schema.shape.kind.value;
      return [
        `### \`${kind}\` (event)`,
        eventSummaries[kind],
        `- carries ${notation(schema, records)}`,
      ].join("\n\n");
    }),
    "## Records of the control socket",
    ...records.map(([name, schema]) => `### ${name}\n\n${members(schema, records)}`),
    errors,
  ].join("\n\n");
}

const introduction = `# The control socket

On it an application talks to the agent about itself, and about nothing else. Its path is in the environment
variable \`TORPOR_SOCKET\` (\`/run/torpor-capsule/control.sock\`, the same in every life). The agent listens on
one socket per capsule, in a folder that only that capsule sees: being able to reach it is what says which
application is talking. Outside of a capsule there is none, and clients do nothing. The clients in
\`clients/\` do all of the following.

JSON-RPC 2.0 as above: UTF-8, one message a line, no batches, every request with an id.

\`\`\`
→ {"jsonrpc":"2.0","id":1,"method":"checkpoint","params":{"ticket":"c0ffee0123456789","label":"after login","keep":true}}
← {"jsonrpc":"2.0","id":1,"result":{"outcome":"saved","imageId":"…","pauseMs":3.1}}
→ {"jsonrpc":"2.0","id":2,"method":"outcome","params":{"ticket":"c0ffee0123456789"}}
← {"jsonrpc":"2.0","id":2,"result":{"outcome":"restored","imageId":"…","occurrence":"crash","elapsedMs":52011}}
\`\`\`

Like fork(2), a checkpoint returns more than once: \`saved\` in the application that goes on, \`restored\` in
every later life of the image. A connection to the control socket is captured as one whose other end has
closed. So a client that reads the end of the file connects anew (the agent may be starting: try for half a
minute), and asks for the \`outcome\` of the ticket that it waits for; on \`pending\` and \`unknown\` it sends
its \`checkpoint\` again, with the same ticket. Part of a message before the end of the file is void.

A ticket is chosen by the client, at random, **from the kernel** (getrandom(2)): a generator in memory gives
two lives of one image the same tickets. For the same reason secrets, nonces, session ids and random
generators are to be renewed on \`restored\`: they are in the memory that every life of the image was made
from.

A connection that passes a limit gets an error without an id, and is closed. The application is neither
ended nor slowed down for it, and no other application notices.`;

const errors = `## Errors of the control socket

The same as above. A capture that fails is no error but the outcome \`failed\`, with the \`code\` and \`message\`
that the error would have; the application goes on. Refused with an error are \`checkpoint\` (\`too-many\`,
\`invalid-params\`), \`restore\` (\`no-such-image\`, \`ambiguous-image\`, \`image-missing\`, \`busy\`) and
\`inhibit\` (\`too-many\`).`;
