"""A TCP proxy in front of PostgreSQL that knows where messages begin, so that it can cut at the worst place.

https://www.postgresql.org/docs/current/protocol-message-formats.html: a start-up packet is a length and a body, every
later message of a client a type, a length and a body; `Q` is a statement. The client waits for the answer to one before
it sends the next, so the bytes that come after a COMMIT are its answer.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

LOOPBACK = "127.0.0.1"
ENCRYPTION = (80877103, 80877104)  # requests for TLS and GSS, answered by one byte; the start-up packet comes after
CHUNK = 65536
STATEMENT = b"Q"


@dataclass
class Cut:
    """Cut the answers of so many statements: of any, or of the COMMITs of transactions that contain `marker`.

    With `before`, the statement does not arrive either.
    """

    marker: bytes | None
    left: int
    done: int = 0
    before: bool = False

    def takes(self, transaction: bytes, statement: bytes) -> bool:
        """Whether the answer to this statement is to be cut; counts those that are."""
        if self.left <= 0 or not (self.marker is None or self._commits(transaction, statement)):
            return False
        self.left -= 1
        self.done += 1
        return True

    def _commits(self, transaction: bytes, statement: bytes) -> bool:
        return self.marker is not None and statement.startswith(b"COMMIT") and self.marker in transaction


@dataclass(eq=False)
class _Link:
    """One client's connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    transaction: bytes = b""
    swallow: bool = False  # the next answer goes nowhere, and the connection ends

    def abort(self) -> None:
        for writer in (self.client, self.server):
            with suppress(Exception):
                writer.transport.abort()


@dataclass
class Proxy:
    """Listens on a port of its own from `start` to `stop`, in a thread of its own."""

    server_port: int
    port: int = 0
    cut: Cut | None = None
    refusing: bool = False  # new connections are closed at once
    _links: set[_Link] = field(default_factory=set)

    def start(self) -> None:
        """Listen; `port` is known afterwards."""
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        listener = self._do(asyncio.start_server(self._serve, LOOPBACK, 0))
        self.port = listener.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Drop everything and listen no more."""

        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.drop()
        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def drop(self) -> int:
        """End every connection at once; returns how many there were."""

        async def drop() -> int:
            links = list(self._links)
            for link in links:
                link.abort()
            return len(links)

        return int(self._do(drop()))

    def flow(self, on: bool) -> None:
        """Whether anything passes, or all connections hang."""
        self._loop.call_soon_threadsafe(self._flowing.set if on else self._flowing.clear)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.refusing:
                raise ConnectionRefusedError
            answers, server = await asyncio.open_connection(LOOPBACK, self.server_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, server)
        self._links.add(link)
        ways = [asyncio.ensure_future(way) for way in (self._ask(reader, link), self._answer(answers, link))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where the proxy is stopped meanwhile: what either way ended with is nobody's error
            self._links.discard(link)
            link.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """From client to server, message by message."""
        code = ENCRYPTION[0]
        while code in ENCRYPTION:
            head = await reader.readexactly(8)
            size, code = struct.unpack("!II", head)
            await self._pass(head + await reader.readexactly(size - 8), link.server)
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            if head[:1] == STATEMENT:
                self._look_at(link, body)
            if link.swallow and self.cut is not None and self.cut.before:
                return
            await self._pass(head + body, link.server)

    def _look_at(self, link: _Link, statement: bytes) -> None:
        link.swallow = self.cut is not None and self.cut.takes(link.transaction, statement)
        ends = statement.startswith((b"COMMIT", b"ROLLBACK"))
        link.transaction = b"" if ends else (link.transaction + statement)[-CHUNK:]

    async def _answer(self, answers: asyncio.StreamReader, link: _Link) -> None:
        """From server to client, as it comes."""
        while data := await answers.read(CHUNK):
            if link.swallow:
                return
            await self._pass(data, link.client)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        writer.write(data)
        await writer.drain()
