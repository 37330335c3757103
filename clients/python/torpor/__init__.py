"""An application asks for a boot image of itself, and is told in which life it goes on.

    import torpor

    with torpor.Client() as client:
        outcome = client.checkpoint(label="after login")
        if outcome.restored:
            random.seed()          # two lives of one image have the same random state

Like os.fork(), checkpoint() returns more than once: "saved" in the application that goes on, and
"restored" in every later life that is begun from the image. Outside of a capsule each call is a quick
no-op whose outcome is "unavailable". torpor.aio has the same for asyncio.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator, Optional

from ._protocol import (
    AgentUnreachable,
    ConnectionLost,
    Outcome,
    RequestRefused,
    TorporError,
    Unavailable,
    new_ticket,
    own_socket,
    unavailable,
)
from ._wire import Wire

__all__ = [
    "AgentUnreachable",
    "Client",
    "Outcome",
    "RequestRefused",
    "TorporError",
    "available",
    "checkpoint",
]

Hook = Callable[[], Any]
RestoredHook = Callable[[Outcome], Any]


def available() -> bool:
    """True in a capsule whose control socket is there."""
    return own_socket() is not None


class Client:
    """One connection to the control socket, made when it is first needed. Threads take turns on it."""

    def __init__(self, *, timeout: float = 360.0, reconnect: float = 30.0) -> None:
        """timeout: seconds that one answer may take; reconnect: seconds to find the agent again."""
        self._wire = Wire(timeout, reconnect)
        self._lock = threading.Lock()
        self._before_capture: list[Hook] = []
        self._restored: list[RestoredHook] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    def on_before_capture(self, hook: Hook) -> Hook:
        """Called by checkpoint() before it asks: close what an image can't hold. Usable as a decorator."""
        self._before_capture.append(hook)
        return hook

    def on_restored(self, hook: RestoredHook) -> RestoredHook:
        """Called by checkpoint() in a later life, before it returns: reopen, and renew secrets and
        random generators."""
        self._restored.append(hook)
        return hook

    def checkpoint(
        self,
        label: Optional[str] = None,
        *,
        keep: Optional[bool] = None,
        wait: bool = True,
        ticket: Optional[str] = None,
    ) -> Outcome:
        """Asks for an image; returns when it is durable, or in a later life of it.

        keep=False replaces the newest image that this application has asked for. wait=False returns
        "pending" at once; outcome(ticket) tells the rest. Never raises for a capture that failed: that
        is an outcome, and the application goes on.
        """
        if not available():
            return unavailable()
        for hook in self._before_capture:
            hook()
        ticket = ticket or new_ticket()
        params: dict[str, Any] = {"ticket": ticket, "wait": wait}
        if label is not None:
            params["label"] = label
        if keep is not None:
            params["keep"] = keep
        with self._lock:
            outcome = self._settle(params)
        if outcome.restored:
            for restored in self._restored:
                restored(outcome)
        return outcome

    def _settle(self, params: dict[str, Any]) -> Outcome:
        ticket = params["ticket"]
        try:
            while True:
                try:
                    return Outcome.of(self._wire.exchange("checkpoint", params), ticket)
                except ConnectionLost:
                    # A later life, an agent that was started anew, or a connection that had ended
                    # before: the ticket tells. Asking again with the same ticket joins.
                    self._wire.reconnect()
                    outcome = Outcome.of(self._wire.ask("outcome", {"ticket": ticket}), ticket)
                    if outcome.name not in ("pending", "unknown"):
                        return outcome
        except Unavailable:
            return unavailable()

    def outcome(self, ticket: str) -> Outcome:
        """What became of a ticket: saved, restored, pending, failed or unknown."""
        answer = self._call("outcome", {"ticket": ticket})
        return unavailable() if answer is None else Outcome.of(answer, ticket)

    def images(self, limit: int = 20) -> list[dict[str, Any]]:
        """The application's own images, newest first; empty outside of a capsule."""
        answer = self._call("images", {"limit": limit})
        return [] if answer is None else answer["images"]

    def restore(self, *, image: Optional[str] = None, label: Optional[str] = None) -> Optional[str]:
        """Asks to be put back to an own image, by id or label: its id, or None outside of a capsule.
        This life ends soon after."""
        answer = self._call("restore", {"image": image} if image is not None else {"label": label})
        return None if answer is None else answer["imageId"]

    def status(self) -> Optional[dict[str, Any]]:
        """Life, policy, last image, free space (docs/protocol.md); None outside of a capsule."""
        return self._call("status", {})

    def heartbeat(self) -> None:
        """I am alive."""
        self._call("heartbeat", {})

    def ready(self) -> None:
        """Start-up is finished: a good moment for an image."""
        self._call("ready", {})

    @contextlib.contextmanager
    def inhibited(self, reason: str, *, timeout: float = 60.0) -> Iterator[None]:
        """No capture while the block runs, for `timeout` seconds at most, unless one is forced."""
        params = {"reason": reason, "timeoutMs": max(1, int(timeout * 1000))}
        answer = self._call("inhibit", params)
        try:
            yield
        finally:
            if answer is not None:
                self._call("allow", {"token": answer["token"]})

    def _call(self, method: str, params: dict[str, Any]) -> Optional[dict[str, Any]]:
        with self._lock:
            try:
                return self._wire.ask(method, params)
            except Unavailable:
                return None


def checkpoint(label: Optional[str] = None, *, keep: Optional[bool] = None) -> Outcome:
    """One checkpoint on a connection of its own."""
    with Client() as client:
        return client.checkpoint(label, keep=keep)
