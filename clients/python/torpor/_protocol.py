"""What both variants share: outcomes, errors, and the form of a message."""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from typing import Any, Optional

#: Longest message in either direction, in bytes.
MESSAGE_MAX = 64 * 1024
#: Seconds between two tries to find the agent again.
RETRY_SECONDS = 0.05


class TorporError(Exception):
    """Something else than an outcome."""


class AgentUnreachable(TorporError):
    """The connection was lost, and the agent could not be found again in time."""


class RequestRefused(TorporError):
    """The agent refused the request; `code` is one of docs/protocol.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(Exception):
    """Not in a capsule, or nobody listens. Never leaves this package."""


class ConnectionLost(Exception):
    """End of file: perhaps a later life. Never leaves this package."""


@dataclass(frozen=True)
class Outcome:
    """What came of a checkpoint. name: saved, restored, pending, failed, unknown or unavailable."""

    name: str
    ticket: Optional[str] = None
    image_id: Optional[str] = None
    #: saved: how long the application stood still, in milliseconds.
    pause_ms: Optional[float] = None
    #: restored: "operator", "crash", "application", …; None where no record of it is left.
    occurrence: Optional[str] = None
    #: restored: milliseconds from the taking of the image to its restore.
    elapsed_ms: Optional[float] = None
    #: failed: for programs, and for people.
    code: Optional[str] = None
    message: Optional[str] = None

    @property
    def saved(self) -> bool:
        return self.name == "saved"

    @property
    def restored(self) -> bool:
        """True: this is a later life. Renew secrets and random generators."""
        return self.name == "restored"

    @staticmethod
    def of(answer: dict[str, Any], ticket: str) -> Outcome:
        return Outcome(
            name=answer["outcome"],
            ticket=ticket,
            image_id=answer.get("imageId"),
            pause_ms=answer.get("pauseMs"),
            occurrence=answer.get("occurrence"),
            elapsed_ms=answer.get("elapsedMs"),
            code=answer.get("code"),
            message=answer.get("message"),
        )


def unavailable() -> Outcome:
    return Outcome("unavailable", message="not in a capsule, or nobody listens on its control socket")


def own_socket() -> Optional[str]:
    path = os.environ.get("TORPOR_SOCKET")
    try:
        return path if path and stat.S_ISSOCK(os.stat(path).st_mode) else None
    except OSError:
        return None


def new_ticket() -> str:
    # From the kernel, not from a generator in memory: two lives would draw the same ticket.
    return secrets.token_hex(16)


def encode(request_id: int, method: str, params: dict[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def result_of(message: dict[str, Any]) -> dict[str, Any]:
    error = message.get("error")
    if error is not None:
        raise RequestRefused(error.get("data", {}).get("code", "internal"), error["message"])
    return message["result"]
