"""The same as server.py, with asyncio: python3 server_asyncio.py SOCKET [REQUESTS-PER-IMAGE]"""

import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torpor.aio  # noqa: E402


async def main(path: str, per_image: int) -> None:
    requests = restored = 0
    open_connections = 0
    due = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests, open_connections
        open_connections += 1
        if await reader.readline():
            requests += 1
            if requests % per_image == 0:
                due.set()
            writer.write(f"{requests} {restored}\n".encode())
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        open_connections -= 1

    async def listen(_event: object = None) -> None:
        nonlocal server
        Path(path).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(serve, path)

    async def close(_event: object) -> None:
        # An image can't hold the other end of a connection, also of one that waits to be accepted. A server that
        # is closed at once forgets whom it has accepted a moment ago, so first nobody more is accepted.
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening)
        await asyncio.sleep(0.001)
        server.close()
        while open_connections:
            await asyncio.sleep(0.001)

    def renew(_event: object) -> None:
        nonlocal restored
        restored += 1
        random.seed()  # from the kernel: two lives of one image have the same random state

    server: asyncio.AbstractServer
    async with torpor.aio.Client() as client:
        client.on_before_capture(close)
        client.on_captured(listen)
        client.on_restored(renew)
        client.on_restored(listen)
        await listen()
        await client.ready()
        while True:
            await due.wait()
            due.clear()
            outcome = await client.checkpoint("every so many requests", keep=False)
            if outcome.name == "failed":
                print(f"no image: {outcome.message}", file=sys.stderr)


asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000))
