"""A server that numbers its requests and asks for an image of itself every so many of them.

    python3 server.py SOCKET [REQUESTS-PER-IMAGE]

Killed and restored, it goes on behind the last image. One line a request; the answer is "NUMBER LIFE":
how many requests this process remembers, and how often it was restored.
"""

import os
import random
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torpor  # noqa: E402

path = sys.argv[1]
per_image = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
requests = restored = 0



def listen() -> socket.socket:
    Path(path).unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(path)
    opened.listen()
    return opened


listener = listen()

with torpor.Client() as client:

    @client.on_before_capture
    def close() -> None:
        # An image can't hold the other end of a connection, also of one that waits to be accepted.
        listener.close()

    @client.on_restored
    def renew(outcome: torpor.Outcome) -> None:
        random.seed()  # from the kernel: two lives of one image have the same random state
        print(f"process {os.getpid()} is back after {outcome.elapsed_ms:.0f} ms: {outcome.occurrence}")

    client.ready()
    while True:
        connection, _ = listener.accept()
        with connection:
            if connection.recv(256) == b"":
                continue
            requests += 1
            connection.sendall(f"{requests} {restored}\n".encode())
        if requests % per_image == 0:
            outcome = client.checkpoint("every so many requests", keep=False)
            if outcome.restored:
                restored += 1
            elif outcome.name == "failed":
                print(f"no image: {outcome.message}", file=sys.stderr)
            listener = listen()
