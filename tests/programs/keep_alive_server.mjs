// A server that keeps its connections, with timers and garbage, and worker threads that count. Argument: port.
import { createServer } from "node:http";
import { argv } from "node:process";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { createHash, randomBytes } from "node:crypto";

if (isMainThread) {
  const held = randomBytes(50 << 20);
  const wanted = createHash("sha256").update(held).digest("hex");
  let ticks = 0;
  let counted = 0;
  setInterval(() => {
    const garbage = Array.from({ length: 1000 }, (_, i) => ({ i }));
    ticks += garbage.length / 1000;
  }, 5);
  const worker = new Worker(new URL(import.meta.url));
  worker.on("message", (count) => (counted = count));
  createServer((_request, response) => {
    const whole = createHash("sha256").update(held).digest("hex") === wanted;
    response.end(`${whole} ${ticks} ${counted}\n`);
  }).listen(Number(argv[2]), "127.0.0.1");
} else {
  let count = 0;
  setInterval(() => parentPort?.postMessage(++count), 5);
}
