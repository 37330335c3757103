"""The blocking connection: one request and its answer after the other."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Optional

from ._protocol import (
    MESSAGE_MAX,
    RETRY_SECONDS,
    AgentUnreachable,
    ConnectionLost,
    Unavailable,
    encode,
    own_socket,
    result_of,
)


class Wire:
    def __init__(self, timeout: float, reconnect: float) -> None:
        self._timeout = timeout
        self._reconnect = reconnect
        self._socket: Optional[socket.socket] = None
        self._held = b""
        self._next_id = 1

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._held = b""

    def exchange(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Raises ConnectionLost when the connection ends before the answer."""
        if self._socket is None:
            self._connect()
        request_id = self._next_id
        self._next_id += 1
        try:
            assert self._socket is not None
            self._socket.sendall(encode(request_id, method, params))
            while True:
                message = json.loads(self._line())
                if message.get("id") == request_id or (
                    message.get("id") is None and "error" in message
                ):
                    return result_of(message)
        except socket.timeout as error:
            self.close()
            raise AgentUnreachable(f"no answer to {method} within {self._timeout} s") from error
        except OSError as error:
            self.close()
            raise ConnectionLost from error

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The same on a new connection where the old one has ended: for requests that may be repeated."""
        try:
            return self.exchange(method, params)
        except ConnectionLost:
            self.reconnect()
        try:
            return self.exchange(method, params)
        except ConnectionLost as error:
            raise AgentUnreachable("the connection to the agent was lost again") from error

    def reconnect(self) -> None:
        """Waits for an agent that is starting anew."""
        deadline = time.monotonic() + self._reconnect
        self.close()
        while True:
            try:
                self._connect()
                return
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise AgentUnreachable("the agent was not found again in time") from error
                time.sleep(RETRY_SECONDS)

    def _connect(self) -> None:
        path = own_socket()
        if path is None:
            raise Unavailable
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise Unavailable from error
        self._socket = connection
        self._held = b""

    def _line(self) -> bytes:
        assert self._socket is not None
        while b"\n" not in self._held:
            chunk = self._socket.recv(MESSAGE_MAX)
            if chunk == b"" or len(self._held) > MESSAGE_MAX:
                raise ConnectionResetError("end of file")
            self._held += chunk
        line, _, self._held = self._held.partition(b"\n")
        return line
