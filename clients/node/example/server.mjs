// A server that numbers its requests and asks for an image of itself every so many of them.
//
//     node server.mjs SOCKET [REQUESTS-PER-IMAGE]
//
// Killed and restored, it goes on behind the last image. One line a request; the answer is "NUMBER LIFE":
// how many requests this process remembers, and how often it was restored.
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { Torpor } from "torpor-client";

const [path, perImage = 1000] = process.argv.slice(2);
const torpor = new Torpor();
let requests = 0;
let restored = 0;

const server = createServer((client) => {
  client.on("error", () => {});
  client.once("data", () => {
    requests += 1;
    client.end(`${requests} ${restored}\n`);
    if (requests % Number(perImage) === 0) void save();
  });
});

function listen() {
  rmSync(path, { force: true });
  server.listen(path);
}

// An image can't hold the other end of a connection, also of one that waits to be accepted. The hooks hear
// of every capture, whoever asked for it.
torpor.onBeforeCapture(
  () =>
    new Promise((closed) => {
      // Those that are open are answered first.
      server.close(closed);
    }),
);
torpor.onCaptured(listen);
torpor.onRestored(({ occurrence, elapsedMs }) => {
  // Here a program renews keys, session ids and its own random generators: two lives of one image have
  // the same ones.
  restored += 1;
  console.log(`back after ${Math.round(elapsedMs)} ms: ${occurrence}`);
  listen();
});

async function save() {
  const outcome = await torpor.checkpoint({ label: "every so many requests", keep: false });
  if (outcome.outcome === "failed") console.error(`no image: ${outcome.message}`);
}

listen();
await torpor.ready();
