"""The clients against an agent that only pretends: what they do when the connection ends."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torpor
import torpor.aio


class FakeAgent:
    """Answers each request by `answer`, which returns a message's rest, or None to hang up."""

    def __init__(self, path, answer):
        self.seen = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._connections = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                request = json.loads(line)
                self.seen.append(request)
                rest = self._answer(request)
                if rest is None:
                    return
                answer = {"jsonrpc": "2.0", "id": request["id"], **rest}
                stream.write(json.dumps(answer).encode() + b"\n")
                stream.flush()

    def methods(self):
        return [r["method"] for r in self.seen if r["method"] != "subscribe"]

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class CapturingAgent(FakeAgent):
    """Says before and after each image that it was asked for what the real one says, and takes none."""

    def __init__(self, path):
        super().__init__(path, lambda request: {"result": {"life": 1, "restored": None}})

    def _serve(self, connection):
        with connection, connection.makefile("rwb") as stream:

            def send(**message):
                stream.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
                stream.flush()

            def tell(kind):
                send(method="event", params={"kind": kind, "token": "t"})

            asked = None
            for line in stream:
                request = json.loads(line)
                self.seen.append(request)
                if request["method"] == "checkpoint":
                    asked = request["id"]
                    tell("about-to-capture")
                    continue
                send(id=request["id"], **self._answer(request))
                if request["method"] == "proceed":
                    tell("captured")
                    send(id=asked, result={"outcome": "saved", "imageId": "i", "pauseMs": 1})


class ClientTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "control.sock")
        patch = mock.patch.dict(os.environ, TORPOR_SOCKET=self.path)
        patch.start()
        self.addCleanup(patch.stop)

    def agent(self, answer):
        agent = FakeAgent(self.path, answer)
        self.addCleanup(agent.close)
        return agent

    def test_is_a_quick_no_op_outside_of_a_capsule(self):
        hook = mock.Mock()
        with torpor.Client() as client:
            client.on_before_capture(hook)
            self.assertEqual(client.checkpoint("x").name, "unavailable")
            self.assertIsNone(client.status())
            self.assertEqual(client.images(), [])
            with client.inhibited("x"):
                pass
            client.ready()
        hook.assert_not_called()

        async def same():
            async with torpor.aio.Client() as client:
                self.assertEqual((await client.checkpoint()).name, "unavailable")
                self.assertIsNone(await client.status())

        asyncio.run(same())

    @staticmethod
    def restored(request):
        if request["method"] == "checkpoint":
            return None
        return {
            "result": {
                "outcome": "restored",
                "imageId": "i",
                "occurrence": "crash",
                "elapsedMs": 5,
            }
        }

    def test_asks_for_the_outcome_of_its_ticket_when_the_connection_ends(self):
        agent = self.agent(self.restored)
        heard = []
        with torpor.Client() as client:
            client.on_restored(heard.append)
            outcome = client.checkpoint()
        self.assertTrue(outcome.restored)
        self.assertEqual(outcome.occurrence, "crash")
        self.assertEqual(heard, [outcome])
        self.assertEqual(agent.methods(), ["checkpoint", "outcome"])
        self.assertEqual(len({r["params"]["ticket"] for r in agent.seen}), 1)

    def test_does_so_with_asyncio_and_tells_the_hooks_of_a_later_life(self):
        lives = iter((1, 2, 3))

        def answer(request):
            if request["method"] == "subscribe":
                life = next(lives)
                restored = {"imageId": "i", "occurrence": "crash", "elapsedMs": 5}
                return {"result": {"life": life, "restored": restored if life > 1 else None}}
            return self.restored(request)

        agent = self.agent(answer)
        heard = []

        async def use():
            async with torpor.aio.Client() as client:
                client.on_restored(heard.append)
                outcome = await client.checkpoint()
                await asyncio.sleep(0)
                return outcome

        self.assertTrue(asyncio.run(use()).restored)
        self.assertEqual(agent.methods(), ["checkpoint", "outcome"])
        self.assertEqual([event["imageId"] for event in heard], ["i"])

    def test_asks_again_with_the_same_ticket_when_the_agent_has_never_heard_of_it(self):
        calls = iter((None, {"result": {"outcome": "saved", "imageId": "j", "pauseMs": 2}}))
        agent = self.agent(
            lambda request: next(calls)
            if request["method"] == "checkpoint"
            else {"result": {"outcome": "unknown"}}
        )
        with torpor.Client() as client:
            self.assertEqual(client.checkpoint().image_id, "j")
        self.assertEqual(agent.methods(), ["checkpoint", "outcome", "checkpoint"])
        self.assertEqual(len({r["params"]["ticket"] for r in agent.seen}), 1)

    def test_hands_refusals_on(self):
        self.agent(
            lambda _: {"error": {"message": "no such image", "data": {"code": "no-such-image"}}}
        )
        with torpor.Client() as client, self.assertRaises(torpor.RequestRefused) as caught:
            client.restore(label="x")
        self.assertEqual(caught.exception.code, "no-such-image")


class AsyncioExampleTest(unittest.TestCase):
    def test_answers_everybody_whom_it_has_accepted_right_before_an_image(self):
        with tempfile.TemporaryDirectory() as folder:
            control, path = os.path.join(folder, "control.sock"), os.path.join(folder, "s")
            agent = CapturingAgent(control)
            self.addCleanup(agent.close)
            example = Path(__file__).resolve().parent.parent / "example/server_asyncio.py"
            server = subprocess.Popen(
                [sys.executable, example, path, "1"], env={**os.environ, "TORPOR_SOCKET": control}
            )
            try:
                answered = 0
                while answered < 1000:
                    self.assertIsNone(server.poll())
                    with socket.socket(socket.AF_UNIX) as connection:
                        connection.settimeout(10)
                        try:
                            connection.connect(path)
                            connection.sendall(b"request\n")
                            answered += bool(connection.recv(100))
                        except (FileNotFoundError, ConnectionError):
                            pass  # it listens again soon
            finally:
                server.kill()
                server.wait()
        self.assertGreater(agent.methods().count("checkpoint"), 100)


if __name__ == "__main__":
    unittest.main()
