"""A proxy before PostgreSQL that cuts a connection at a COMMIT: before it arrives, or before its answer does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class CuttingProxy:
    """Forwards until `cut` is set; then the next COMMIT after `mark` was sent on its connection is the last of it.

    `cut` is "answer" (PostgreSQL gets the COMMIT), "question" (it does not), or nothing.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        self.cut = ""
        self.mark = b"INSERT INTO job"
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                cutting = threading.Event()
                for source, sink, forward in ((client, server, self._ask), (server, client, self._answer)):
                    threading.Thread(target=self._pump, args=(source, sink, forward, cutting), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, forward, cutting: threading.Event) -> None:
        seen: list[bool] = []
        with suppress(OSError):
            while data := source.recv(65_536):
                if not forward(data, sink, seen, cutting):
                    break
        for side in (source, sink):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _ask(self, data: bytes, server: socket.socket, seen: list[bool], cutting: threading.Event) -> bool:
        if self.mark in data:
            seen.append(True)
        if self.cut and seen and b"COMMIT" in data:
            how, self.cut, self.cuts = self.cut, "", self.cuts + 1
            if how == "question":
                return False
            cutting.set()
        server.sendall(data)
        return True

    def _answer(self, data: bytes, client: socket.socket, seen: list[bool], cutting: threading.Event) -> bool:
        if cutting.is_set():
            return False
        client.sendall(data)
        return True


@contextmanager
def cutting_proxy(url: str) -> Iterator[CuttingProxy]:
    """A proxy for a while."""
    proxy = CuttingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
