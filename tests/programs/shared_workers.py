"""asyncio and multiprocessing at work: processes that count in shared memory, each turn within a semaphore and
a lock, and report through a queue; a server on a unix socket answers each connection with one line: turns,
ticks of the event loop, the last report, whether nobody was disturbed in the lock, whether all workers live
and a child process still answers. Arguments: the socket's path, the start method (fork, spawn, forkserver)."""

import asyncio
import multiprocessing
import sys
from multiprocessing.shared_memory import SharedMemory

WORKERS = 3


def work(name, lock, places, reports, number):
    memory = SharedMemory(name)
    while True:
        with places, lock:
            turns = int.from_bytes(memory.buf[:8], "little")
            if any(memory.buf[9 : 9 + WORKERS]):
                memory.buf[8] = 1
            memory.buf[9 + number] = 1
            memory.buf[:8] = (turns + 1).to_bytes(8, "little")
            memory.buf[9 + number] = 0
        if number == 0 and turns % 10 == 0:
            reports.put(turns)


async def main(path, memory, workers, reports):
    ticks = 0
    last = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    def drain():
        nonlocal last
        while True:
            last = reports.get()

    async def answer(_, writer):
        child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        echo, _ = await child.communicate(b"echo")
        turns = int.from_bytes(memory.buf[:8], "little")
        alone = memory.buf[8] == 0
        alive = all(worker.is_alive() for worker in workers) and echo == b"echo"
        writer.write(f"{turns} {ticks} {last} {alone} {alive}\n".encode())
        await writer.drain()
        writer.close()

    ticking = asyncio.create_task(tick())
    asyncio.get_running_loop().run_in_executor(None, drain)
    server = await asyncio.start_unix_server(answer, path)
    await asyncio.gather(ticking, server.serve_forever())


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    memory = SharedMemory(create=True, size=4096)
    lock, places, reports = context.Lock(), context.Semaphore(2), context.Queue()
    workers = [
        context.Process(target=work, args=(memory.name, lock, places, reports, i), daemon=True)
        for i in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    asyncio.run(main(sys.argv[1], memory, workers, reports))
