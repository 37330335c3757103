"""The same for asyncio, with hooks that hear of every capture, whoever asked for it.

    async with torpor.aio.Client() as client:
        client.on_before_capture(close_database)
        client.on_restored(reopen_database)
        outcome = await client.checkpoint(label="after login")
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from typing import Any, AsyncIterator, Awaitable, Callable, Optional, Union

from ._protocol import (
    MESSAGE_MAX,
    RETRY_SECONDS,
    AgentUnreachable,
    ConnectionLost,
    Outcome,
    Unavailable,
    encode,
    new_ticket,
    own_socket,
    result_of,
    unavailable,
)

Hook = Callable[[dict[str, Any]], Union[Any, Awaitable[Any]]]


class Client:
    """Use it as a context manager: it keeps a connection while it is open, found again when it ends."""

    def __init__(self, *, reconnect: float = 30.0) -> None:
        self._reconnect_seconds = reconnect
        self._writer: Optional[asyncio.StreamWriter] = None
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 1
        self._life: Optional[int] = None
        self._keeper: Optional[asyncio.Task[None]] = None
        self._connecting = asyncio.Lock()
        self._hooks: dict[str, list[Hook]] = {"about-to-capture": [], "captured": [], "restored": []}
        self._hook_tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Client:
        with contextlib.suppress(Unavailable):
            await self._connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def on_before_capture(self, hook: Hook) -> Hook:
        """Called before every capture; the capture waits for it, for two seconds at most."""
        self._hooks["about-to-capture"].append(hook)
        return hook

    def on_captured(self, hook: Hook) -> Hook:
        """Called in the life that goes on."""
        self._hooks["captured"].append(hook)
        return hook

    def on_restored(self, hook: Hook) -> Hook:
        """Called in a later life: reopen, and renew secrets and random generators."""
        self._hooks["restored"].append(hook)
        return hook

    async def checkpoint(
        self,
        label: Optional[str] = None,
        *,
        keep: Optional[bool] = None,
        wait: bool = True,
        ticket: Optional[str] = None,
    ) -> Outcome:
        """See torpor.Client.checkpoint."""
        ticket = ticket or new_ticket()
        params: dict[str, Any] = {"ticket": ticket, "wait": wait}
        if label is not None:
            params["label"] = label
        if keep is not None:
            params["keep"] = keep
        try:
            while True:
                try:
                    return Outcome.of(await self._exchange("checkpoint", params), ticket)
                except ConnectionLost:
                    await self._find_again()
                    outcome = Outcome.of(await self._ask("outcome", {"ticket": ticket}), ticket)
                    if outcome.name not in ("pending", "unknown"):
                        return outcome
        except Unavailable:
            return unavailable()

    async def outcome(self, ticket: str) -> Outcome:
        answer = await self._call("outcome", {"ticket": ticket})
        return unavailable() if answer is None else Outcome.of(answer, ticket)

    async def images(self, limit: int = 20) -> list[dict[str, Any]]:
        answer = await self._call("images", {"limit": limit})
        return [] if answer is None else answer["images"]

    async def restore(
        self, *, image: Optional[str] = None, label: Optional[str] = None
    ) -> Optional[str]:
        params = {"image": image} if image is not None else {"label": label}
        answer = await self._call("restore", params)
        return None if answer is None else answer["imageId"]

    async def status(self) -> Optional[dict[str, Any]]:
        return await self._call("status", {})

    async def heartbeat(self) -> None:
        await self._call("heartbeat", {})

    async def ready(self) -> None:
        await self._call("ready", {})

    @contextlib.asynccontextmanager
    async def inhibited(self, reason: str, *, timeout: float = 60.0) -> AsyncIterator[None]:
        params = {"reason": reason, "timeoutMs": max(1, int(timeout * 1000))}
        answer = await self._call("inhibit", params)
        try:
            yield
        finally:
            if answer is not None:
                await self._call("allow", {"token": answer["token"]})

    async def _call(self, method: str, params: dict[str, Any]) -> Optional[dict[str, Any]]:
        try:
            return await self._ask(method, params)
        except Unavailable:
            return None

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._exchange(method, params)
        except ConnectionLost:
            await self._find_again()
        try:
            return await self._exchange(method, params)
        except ConnectionLost as error:
            raise AgentUnreachable("the connection to the agent was lost again") from error

    async def _exchange(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if self._writer is None:
            await self._connect()
        return await self._send(method, params)

    async def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        writer = self._writer
        if writer is None:
            raise ConnectionLost
        request_id = self._next_id
        self._next_id += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        try:
            writer.write(encode(request_id, method, params))
            await writer.drain()
            return result_of(await answer)
        except OSError as error:
            raise ConnectionLost from error
        finally:
            self._pending.pop(request_id, None)

    async def _connect(self) -> None:
        async with self._connecting:
            if self._writer is not None:
                return
            path = own_socket()
            if path is None:
                raise Unavailable
            try:
                reader, writer = await asyncio.open_unix_connection(path, limit=MESSAGE_MAX)
            except OSError as error:
                raise Unavailable from error
            self._writer = writer
            self._keeper = asyncio.create_task(self._keep(reader, writer))
            with contextlib.suppress(ConnectionLost):
                await self._subscribe()

    async def _subscribe(self) -> None:
        answer = await self._send(
            "subscribe", {"events": ["about-to-capture", "captured", "capture-failed"]}
        )
        before, self._life = self._life, answer["life"]
        if before is not None and before != self._life and answer["restored"] is not None:
            self._run_hooks("restored", answer["restored"])

    async def _find_again(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._reconnect_seconds
        while True:
            try:
                return await self._connect()
            except Unavailable as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise AgentUnreachable("the agent was not found again in time") from error
                await asyncio.sleep(RETRY_SECONDS)

    async def _keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads until the end; then finds the agent again, so that hooks hear of a restore at once."""
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                if not line.endswith(b"\n"):
                    break
                self._take(json.loads(line))
        writer.close()
        if self._writer is writer:
            self._writer = None
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ConnectionLost())
        if self._keeper is asyncio.current_task():
            self._keeper = None
            task = asyncio.create_task(self._find_again_quietly())
            self._hook_tasks.add(task)
            task.add_done_callback(self._hook_tasks.discard)

    async def _find_again_quietly(self) -> None:
        with contextlib.suppress(AgentUnreachable):
            await self._find_again()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "event":
            self._run_hooks(message["params"]["kind"], message["params"])
            return
        answer = self._pending.get(message.get("id") or 0)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _run_hooks(self, kind: str, event: dict[str, Any]) -> None:
        # What was closed for a capture is reopened however the capture ended.
        name = "captured" if kind == "capture-failed" else kind
        task = asyncio.create_task(self._hear(name, event))
        self._hook_tasks.add(task)
        task.add_done_callback(self._hook_tasks.discard)

    async def _hear(self, kind: str, event: dict[str, Any]) -> None:
        try:
            for hook in self._hooks[kind]:
                result = hook(event)
                if inspect.isawaitable(result):
                    await result
        finally:
            if kind == "about-to-capture":
                with contextlib.suppress(ConnectionLost):
                    await self._send("proceed", {"token": event["token"]})
