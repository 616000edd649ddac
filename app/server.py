"""The web server: waitress, configured here and nowhere else (docs/decisions/0061).

One thread moves the bytes of all connections; a request gets a thread of the pool when the whole of it has come, and
leaves it when its answer is written, however slowly that is read. So a slow client costs a socket. Those that dawdle
are cut off::

    HEADER_S                     from the first byte of a request to the end of its header
    BODY_S + bytes / SLOWEST     from there to the end of its body
    IDLE_S                       between two requests, or without any progress of an answer
"""

from __future__ import annotations

import copy
import json
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from waitress.adjustments import Adjustments
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from app import access_log, waiting
from app.compat.conventions import words_at
from app.links import link, root
from app.parking import Lot, Parked, Stream
from app.schemas.errors import ErrorDetail
from core.errors import PROBLEM_TYPE, ArgusError, BadInput, TooLarge
from core.memory import freeze_loaded, give_memory_back
from core.settings import settings

if TYPE_CHECKING:
    from apiflask import APIFlask

HEADER_S, BODY_S, SLOWEST = 10.0, 30.0, 10_000  # SLOWEST: bytes a second
IDLE_S = 75  # longer than clients and proxies keep an idle connection, so that none is ended under a request
THREADS = waiting.PLACES + 16  # at most: those that wait, and those that work
SPARE_THREADS = 16  # stay when they have nothing to do
HEALTH, FILES = "/healthz", "/v1/files"
CONNECTIONS = 4000
HANDLES = 200  # files and connections beside those of clients
HEADER_BYTES = 32 * 1024
LINE_BYTES = 4096  # of a chunk's size, and of what follows the last chunk
RECEIVED_BYTES = 4096  # at a time: what waitress takes for a piece grows with its square where chunks are tiny
IN_MEMORY = 64 * 1024  # of a body; what is longer lies in a temporary file
ANSWER_BYTES = 1024**3  # an answer is taken from its thread up to this size, in a temporary file beyond a megabyte
BUFFER_BYTES = 16 * 1024**2  # of an answer, in one of the buffers that it goes through
LEAVING_S = 10.0  # for what runs when told to stop; the supervisor kills after 15 s


class Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What waitress itself finds wrong with a request, answered like every other error."""

    def execute(self) -> None:
        found = self.request.error
        error: ArgusError = BadInput(f"This is not HTTP as it should be: {found.body}.")
        if found.code in (413, 431):
            most = settings().max_file_mb if self.request.path == FILES else settings().max_upload_mb
            limit = f"{most} MB" if found.code == 413 else f"{HEADER_BYTES // 1024} kB of header"
            error = TooLarge(f"More than {limit} in one request.")
        elif found.code == 500:
            error = ArgusError("Something went wrong inside Argus.")
        path, status, kind = getattr(self.request, "path", ""), error.status, PROBLEM_TYPE
        words = words_at(path, getattr(self.request, "command", "POST"))
        if words:
            kind, status = "application/json", words.statuses.get(status, status)
        http_id = access_log.refused(status)
        told = error.as_problem(f"{link(quote(path))}#{http_id}", root())
        if words:
            told, _ = words.tell(ErrorDetail.model_validate(error), error.status)
        self.status = f"{status} {found.reason if status == found.code else 'Refused'}"
        body = json.dumps(told).encode()
        self.response_headers += [("Content-Type", kind), (access_log.HEADER, http_id)]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class GoesOn(BaseException):
    """An answer was parked: its thread is free, and the request is not over."""

    def __init__(self, parked: Parked, pause: waiting.Pause) -> None:
        self.parked, self.pause = parked, pause


class Task(WSGITask):  # type: ignore[misc]
    """A request whose thread is told when its client hangs up, and whose answer may go on without it."""

    parked: tuple[Parked, waiting.Pause] | None = None

    def get_environment(self) -> dict[str, Any]:
        """What the app is given."""
        environment: dict[str, Any] = super().get_environment()
        environment[waiting.HANG_UP], environment[waiting.PARK] = self.channel.on_hang_up, self.park
        return environment

    def park(self, rest: Stream, pause: waiting.Pause) -> None:
        """Go on with the rest of the answer after a pause."""
        self.parked = Parked(self.channel.server.lot, rest, self.write, self._end), pause

    def finish(self) -> None:
        """The answer is complete, unless it was parked."""
        if self.parked:
            raise GoesOn(*self.parked)
        super().finish()

    def _end(self) -> None:
        with suppress(ClientDisconnected, OSError):
            super().finish()
        self.channel.end()


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]
    """As many threads as there is work for, up to THREADS."""

    def add_task(self, task: Channel) -> None:
        """Have it done, by a new thread where none is idle."""
        with self.lock:
            running = len(self.threads) - self.stop_count
            self.queue.append(task)
            self.queue_cv.notify()
            short = len(self.queue) > running - self.active_count
        if short and running < THREADS:
            self.set_thread_count(running + 1)

    def let_go(self) -> None:
        """End half of the idle threads that are not spared."""
        with self.lock:
            running = len(self.threads) - self.stop_count
            idle = running - self.active_count - len(self.queue)
        if idle > SPARE_THREADS:
            self.set_thread_count(running - (idle - SPARE_THREADS + 1) // 2)


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request that may have a longer body where files are uploaded."""

    adj: Any

    def parse_header(self, header_plus: bytes) -> None:
        """Read the header."""
        super().parse_header(header_plus)
        if self.path == FILES:
            longer = copy.copy(self.adj)
            longer.max_request_body_size = settings().max_file_mb * 1024 * 1024 + 1
            self.adj = longer


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when its unfinished request has been coming, and who is to know when it ends."""

    task_class = Task
    error_task_class = Refusal
    parser_class = Parser
    began = 0.0
    current_outbuf_count = 0
    told = staticmethod(lambda: None)  # when the client hangs up

    def on_hang_up(self, tell: Callable[[], None]) -> None:
        """Have `tell` called when the client hangs up; at once if it has."""
        self.told = tell
        if not self.connected:
            tell()

    def service(self) -> None:
        """Answer a request."""
        try:
            super().service()
        except GoesOn as later:
            self.server.pull_trigger()
            later.parked.park(later.pause)

    def end(self) -> None:
        """Close when all of a parked answer is written."""
        with self.requests_lock:
            self.close_when_flushed = True
            waiting_requests: list[Any] = self.requests
            for request in waiting_requests:
                request.close()
            waiting_requests.clear()
        self.last_activity = time.time()
        self.server.pull_trigger()

    def write_soon(self, data: Any) -> Any:
        """Hand over a piece of the answer; to a new buffer now and then, for one keeps all that was ever in it."""
        if self.current_outbuf_count >= BUFFER_BYTES:
            self.current_outbuf_count = self.adj.outbuf_high_watermark
        return super().write_soon(data)

    def handle_close(self) -> None:
        """The client has hung up, or is cut off."""
        super().handle_close()
        self.told()

    def received(self, data: bytes) -> Any:
        """Take what has come."""
        if self.request is None:
            self.began = time.time()
        taken = super().received(data)
        body = self.request and self.request.body_rcv  # what follows is copied with every piece that comes
        if any(len(getattr(body, line, b"")) > LINE_BYTES for line in ("control_line", "trailer")):
            self.will_close = True
        return taken

    def is_late(self, now: float) -> bool:
        """Whether its request should have come by now."""
        coming = self.request
        if coming is None:
            return False
        allowed = HEADER_S
        if coming.headers_finished:
            allowed += BODY_S + coming.body_bytes_received / SLOWEST
        return now > self.began + allowed

    @property
    def is_idle(self) -> bool:
        """Whether nothing is done or to be written for it."""
        return not (self.requests or self.total_outbufs_len)


class Server(TcpWSGIServer):  # type: ignore[misc]
    """waitress on one socket, until told to leave."""

    channel_class = Channel
    leaving = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.threads, self.lot = Threads(), Lot()
        super().__init__(*arguments, dispatcher=self.threads, **named)
        self.threads.set_thread_count(min(SPARE_THREADS, THREADS))
        self._health = ThreadedTaskDispatcher()
        self._health.set_thread_count(1)

    def add_task(self, channel: Channel) -> None:
        """Have a request answered; health by a thread of its own, whatever all others wait for."""
        asks_for_health = channel.requests and getattr(channel.requests[0], "path", "") == HEALTH
        (self._health if asks_for_health else self.task_dispatcher).add_task(channel)

    def leave(self, *_: Any) -> None:
        """Have `run` come to an end; may be called by a signal."""
        self.leaving = True
        self.pull_trigger()

    def run(self) -> None:
        """Serve; when told to leave, answer what has come, then end."""
        while not self.leaving:
            self._turn(1.0)
        waiting.leave()
        self._stop_listening()
        end = time.monotonic() + LEAVING_S
        while self.active_channels and time.monotonic() < end:
            for channel in self.active_channels.values():
                channel.will_close = channel.will_close or (channel.is_idle and channel.request is None)
            self._turn(0.1)

    def handle_accept(self) -> None:
        """Take a connection; where all places are taken, in place of the one that has been idle or late longest."""
        if len(self.active_channels) >= self.adj.connection_limit - 10:
            dawdlers = (
                channel for channel in self.active_channels.values() if channel.is_idle and not channel.will_close
            )
            if slowest := min(dawdlers, key=lambda channel: channel.began or channel.creation_time, default=None):
                slowest.will_close = True
        super().handle_accept()

    def maintenance(self, now: float) -> None:
        """Cut off who dawdles."""
        super().maintenance(now)
        self.threads.let_go()
        for channel in self.active_channels.values():
            if not channel.requests and channel.is_late(now):
                channel.will_close = True

    def _turn(self, timeout_s: float) -> None:
        self.asyncore.loop(timeout=timeout_s, map=self._map, use_poll=True, count=1)

    def _stop_listening(self) -> None:
        """Take who stands in line already, then nobody."""
        taken = -1
        while taken < len(self.active_channels):
            taken = len(self.active_channels)
            self.handle_accept()
        self.accepting = False
        self.del_channel()
        self.socket.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket that another process may share: the next web process listens before this one leaves."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family, backlog=1024, reuse_port=True)


def make_server(app: APIFlask, listener: socket.socket) -> Server:
    """The server of an app on a socket."""
    options = Adjustments(
        connection_limit=min(CONNECTIONS, _most_files() - HANDLES),
        recv_bytes=RECEIVED_BYTES,
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=settings().max_upload_mb * 1024 * 1024 + 1,
        inbuf_overflow=IN_MEMORY,
        outbuf_high_watermark=ANSWER_BYTES,
        channel_timeout=IDLE_S,
        cleanup_interval=1,
        channel_request_lookahead=1,  # read on while a request runs: so a client that hangs up is noticed
        clear_untrusted_proxy_headers=False,  # `app/proxies.py` does that
        ident=None,
    )
    name = (listener.family, listener.type, listener.proto, listener.getsockname())
    return Server(app, _sock=listener, adj=options, sockinfo=name, bind_socket=False)


def _most_files() -> int:
    """How many files this process may have open; as many as the system lets it, up to what connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + HANDLES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)


def serve() -> int:
    """Serve until told to stop; returns the exit status."""
    from app import create_app
    from app.compat.openai.batch.keeper import KEEPER

    give_memory_back()
    server = make_server(create_app(), listening(settings().host, settings().port))
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, server.leave)
    KEEPER.start()
    freeze_loaded()
    server.run()
    return 0
