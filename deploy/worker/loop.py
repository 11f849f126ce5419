"""The main loop of a worker: it accepts connections, reads them without blocking, keeps deadlines, and drains."""

from __future__ import annotations

import contextlib
import errno
import selectors
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from app.contract import trace_id_from
from deploy.worker.afterwards import Afterwards
from deploy.worker.answering import Answering
from deploy.worker.connection import After, Connection, State
from deploy.worker.refusal import BodyCutShort, Overloaded, RequestTooSlow, ServerStopping
from deploy.worker.request import GatewayRequest, Unread, framing_of, read_head
from deploy.worker.stopping import server_stops
from deploy.worker.telling import refuse
from gateway.turn import Urgency, turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.worker.openings import Openings

_log = structlog.get_logger("gateway.http")

_RECEIVE = 65536
_ACCEPTS = 64  # new connections in a turn of the loop, so that those that are open are not kept waiting
_SWEEP_EVERY = 0.25  # seconds: how exactly the deadlines are kept
_LOOP_PATIENCE = 0.01  # seconds that the main loop waits for its turn: no thread needs as long for what it does in one
_BEYOND_SECONDS = 5.0  # for the head of a request that is only to be refused
_LINGER_SECONDS = 2.0  # how long a client may go on sending after its answer, so that it gets to read it
_LAST_ANSWERS_SECONDS = 0.5  # for those who came just before the end
_LINGER_BYTES = 16 << 20  # and how much
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class GatewayWorker(ThreadWorker):  # type: ignore[misc]
    """A thread worker that slow and broken clients cannot hold up.

    Of ThreadWorker it keeps the thread pool, the queue back to the main loop, and the poller. Set the class
    attributes in gunicorn.conf.py, before the workers start.
    """

    read_timeout: float = 30.0  # seconds from the first byte of a request to its last
    write_timeout: float = 60.0  # seconds that one piece of an answer may wait for the client to read
    drain_timeout: float | None = None  # seconds that running requests get at a stop; None for graceful_timeout
    max_body_bytes: int = 1 << 20
    # Paths that begin so are served when all threads are busy, and on connections beyond `worker_connections`: whoever
    # looks after the server has to reach it then.
    vital: tuple[str, ...] = ()
    vital_threads: int = 8
    # Whether requests are served one after the other, for an application that knows when it waits (`gateway.turn`).
    by_turns: bool = False
    # How many connections beyond `worker_connections` are taken, to be answered with 503.
    connections_beyond: int = 1024

    alive: bool  # gunicorn's own

    # --- start, stop, signals -----------------------------------------------------------------------------

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()  # all that are open
        self.waiting: set[Connection] = set()  # those of them that the poller watches
        self.fresh: set[Connection] = set()  # those of them whose first request is still to come
        self._next_sweep = 0.0
        self._refusing = False  # the whole server is stopping: new connections get 503
        self._serving = 0  # requests that threads have and have not answered, but for the vital ones
        self._faulty = 0  # requests that threads have whose body is at fault, the vital ones among them
        self._answering = Answering(self)
        # A client that has its answer may ask again before its thread is free: so many clients as there are threads
        # must not meet a full server.
        self._most = self.cfg.threads + self.cfg.threads // 16 + 1
        self._most_faulty = max(1, self._most // 4)
        self.afterwards = Afterwards(self._most // 2)
        # Seconds until it is worth coming back to a server that is full; set it where the application knows.
        self.retry_after: Callable[[], float] = lambda: 1.0
        # Whether the application would serve a request; set it where the application knows.
        self.ready: Callable[[], bool] = lambda: True
        # Where there are several workers, one that could only refuse leaves new connections to those that would serve
        # them. Both are set before the fork.
        self.openings: Openings | None = None
        self.place = 0
        fields, size = self.cfg.limit_request_fields, self.cfg.limit_request_field_size
        self._largest_head = self.cfg.limit_request_line + fields * (size + 2)

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """With a few threads more for what must be served when all others are busy."""
        threads = 2 * self._most + (self.vital_threads if self.vital else 0)
        pool, all_started = ThreadPoolExecutor(threads), threading.Event()
        # A thread is started by whoever submits, who waits for it. In a burst of requests that is the main loop, and
        # hundreds of threads that work already are before it.
        for _ in range(threads):
            pool.submit(all_started.wait)
        all_started.set()
        return pool

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Stop the start where a setting asks for what the main loop's reading cannot do."""
        super().check_config(cfg, log)
        if cfg.is_ssl or cfg.proxy_protocol != "off" or cfg.protocol != "http":
            raise RuntimeError("GatewayWorker serves plain HTTP: unset certfile, proxy_protocol and protocol.")

    def init_signals(self) -> None:
        """Ctrl-C reaches every process of the terminal: take SIGINT for SIGTERM, finish what is running."""
        super().init_signals()
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.siginterrupt(signal.SIGINT, False)  # noqa: FBT003 - the signature has no name for it

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Drain; leave at once if nothing is served yet. Always wake the loop: the master has acted too."""
        if not self.booted:
            sys.exit(0)
        super().handle_exit(sig, frame)
        self.method_queue.defer(lambda: None)

    def run(self) -> None:
        """The main loop, then the drain."""
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive and self.is_parent_alive():
            self._turn(accepting=self._is_its_turn() and self._has_room())
        self.alive = False
        self._drain()

        for conn in list(self.waiting):
            self._drop(conn)
        self.tpool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()
        for listener in self.sockets:
            listener.close()

    def count_request(self) -> None:
        """One more is served: keep max_requests; in a pool thread, as the three that follow."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.handle_exit(signal.SIGTERM, None)

    def keeps_connections(self) -> bool:
        """Whether one may stay open after its answer."""
        return self.alive and bool(self.cfg.keepalive) and len(self.connections) <= self.max_keepalived

    def take_back(self, conn: Connection, after: After) -> None:
        """A connection's request is answered: the main loop has it again."""
        self.method_queue.defer(self.finish_request, conn, after)

    def request_is_over(self) -> None:
        """All that a request was is done, its log line too."""
        if not self.alive:
            self.method_queue.defer(lambda: None)  # the drain may have waited for this alone

    def wait_for_last_lines(self, seconds: float = _LAST_ANSWERS_SECONDS) -> None:
        """Until what was cut off at the end is told and noted, but no longer; for `worker_exit`."""
        give_up = time.monotonic() + seconds
        while self._answering.under_way and time.monotonic() < give_up:
            time.sleep(0.01)

    def _has_room(self) -> bool:
        most: int = self.worker_connections + self.connections_beyond
        return len(self.connections) < most

    def _is_its_turn(self) -> bool:
        """Whether a new connection is this worker's: it would serve a request, or no other one would."""
        if self.openings is None:
            return True
        serves = self._would_serve()
        self.openings.tell(self.place, serves=serves)
        return serves or not self.openings.anybody()

    def _would_serve(self) -> bool:
        has_place = self._serving + len(self.fresh) < self._most and len(self.connections) < self.worker_connections
        return self.alive and has_place and self.ready()

    def _turn(self, *, accepting: bool) -> None:
        self.set_accept_enabled(accepting)
        self.wait_for_and_dispatch_events(timeout=_SWEEP_EVERY if self.waiting or not accepting else 1.0)
        now = time.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_EVERY
            self.notify()  # the master, which waits for seconds, and not for each request
            self._sweep(now)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """gunicorn's, but in a turn, before all threads.

        Python gives the lock on its interpreter away at each call of the system, and a thread that computes keeps it
        for milliseconds. The loop makes a dozen such calls for each request: beside one busy thread after the other it
        could not refuse as many as come.
        """
        events = self.poller.select(timeout)
        if not events:
            return
        with turn.during(Urgency.LOOP, _LOOP_PATIENCE) if self.by_turns else contextlib.nullcontext():
            for key, _ in events:
                key.data(key.fileobj)

    def _drain(self) -> None:
        """Finish the connections there are, for at most `drain_timeout`.

        A kept-alive connection may have its next request under way: it is given two seconds. New connections
        are accepted only when the whole server stops, to be told so; otherwise another worker takes them.
        """
        self._is_its_turn()  # it is not, any more: the others learn of it
        now = time.monotonic()
        give_up = now + (self.cfg.graceful_timeout if self.drain_timeout is None else self.drain_timeout)
        for conn in self.waiting:
            if conn.idle:
                conn.deadline = min(conn.deadline, now + STOP_KEEPALIVE_LINGER)
        while time.monotonic() < give_up and (
            any(not conn.late for conn in self.connections) or self._answering.under_way
        ):
            self._refusing = self._refusing or server_stops(self.sockets, self.ppid)
            self._turn(accepting=self._refusing and self._has_room())
        # Those that are there now are still told, and not reset.
        give_up = min(give_up, time.monotonic() + _LAST_ANSWERS_SECONDS)
        while time.monotonic() < give_up and any(conn.state is State.READING for conn in self.waiting):
            self._turn(accepting=self._refusing and self._has_room())

    # --- connections, on the main loop --------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Take the new connections that are there and wait for their first requests.

        Where there are several workers, those that it would serve are taken one at a time: the next may be another's.
        """
        for _ in range(_ACCEPTS):
            if self.alive and not self._is_its_turn():  # another worker is ready meanwhile, or this one is full
                return
            if not self._has_room() or not self._accept_one(listener):
                return
            if self.openings is not None and self._would_serve():
                return

    def _accept_one(self, listener: socket.socket) -> bool:
        """Whether there was one."""
        try:
            sock, client = listener.accept()
        except ConnectionAbortedError:
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            _log.warning("no connection accepted", reason=errno.errorcode[error.errno])
            time.sleep(0.1)  # the listener stays readable: do not spin
            return False
        sock.settimeout(0)
        beyond = len(self.connections) >= self.worker_connections
        conn = Connection(sock, client, listener.getsockname(), self._refusing, beyond, deadline=0.0)
        self.connections.add(conn)
        self.fresh.add(conn)
        self._watch(conn, self._read_seconds(conn))
        return True

    def _read_seconds(self, conn: Connection) -> float:
        """How long a request may take to arrive. One that is only to be refused does not get long."""
        return min(self.read_timeout, _BEYOND_SECONDS) if conn.beyond else self.read_timeout

    def _watch(self, conn: Connection, seconds: float) -> None:
        """Wait for what the client sends, so long and no longer."""
        conn.deadline = time.monotonic() + seconds
        if conn not in self.waiting:
            self.waiting.add(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_readable, conn))

    def _unwatch(self, conn: Connection) -> None:
        if conn in self.waiting:
            self.waiting.discard(conn)
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection, *, abort: bool = False) -> None:
        """Close for good."""
        self._unwatch(conn)
        self.connections.discard(conn)
        self.fresh.discard(conn)
        if abort:
            conn.abort()
        else:
            conn.sock.close()

    def _sweep(self, now: float) -> None:
        """Part with the connections whose deadline passed."""
        for conn in [conn for conn in self.waiting if conn.deadline <= now]:
            if conn.idle or conn.state is State.CLOSING:
                self._drop(conn)
            else:
                self._refuse_or_ask(conn, RequestTooSlow())

    def on_readable(self, conn: Connection, _sock: socket.socket) -> None:
        """Take what has arrived, without blocking."""
        try:
            data = conn.sock.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(conn)
            return
        if conn.state is State.CLOSING:
            conn.discarded += len(data)
            if not data or conn.discarded > _LINGER_BYTES:
                self._drop(conn)
        elif data:
            if conn.idle:
                self._begin(conn)
            conn.buffer += data
            self._advance(conn)
        elif conn.idle:
            self._drop(conn)
        else:
            self._refuse_or_ask(conn, BodyCutShort())

    def _begin(self, conn: Connection) -> None:
        """The first byte of a request is here: from now on the read deadline runs."""
        conn.started = time.monotonic()
        self._watch(conn, self._read_seconds(conn))

    def _advance(self, conn: Connection) -> None:
        """Read as far as the bytes go; once the request is whole, give it to a thread."""
        try:
            if conn.request is None:
                self._read_head(conn)
            request, framing = conn.request, conn.framing
            if request is None or framing is None:
                return
            end = framing.end(conn.buffer)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is this client's request alone
            self._refuse_or_ask(conn, fault)
            return
        if end is not None:
            body = bytes(conn.buffer[:end])
            del conn.buffer[:end]
            self._serve_soon(conn, request, partial(framing.content, request, body))

    def _read_head(self, conn: Connection) -> None:
        """Parse the head, once it may be complete.

        An incomplete one is tried again only when it has doubled, or is larger than any may be: that finds faults and
        excess early, and costs no more than a few parses however small the pieces are.
        """
        ended = conn.buffer.find(b"\r\n\r\n", max(0, conn.tried - 3)) >= 0
        if not ended and len(conn.buffer) < min(2 * conn.tried, self._largest_head):
            return
        conn.tried = len(conn.buffer)
        found = read_head(self.cfg, conn.buffer, conn.client, conn.served + 1)
        if found is None:
            return
        conn.request, rest = found
        conn.buffer = bytearray(rest)
        conn.trace_id = trace_id_from(conn.request.header("TRACEPARENT"))
        conn.vital = bool(self.vital) and (conn.request.path or "").startswith(self.vital)
        if conn.late:
            raise ServerStopping
        if conn.beyond and not conn.vital:
            raise Overloaded(self.retry_after())
        conn.framing = framing_of(conn.request, self.max_body_bytes)
        self._invite_body(conn, conn.request)

    def _invite_body(self, conn: Connection, request: GatewayRequest) -> None:
        """Send 100 Continue where the client waits for it; gunicorn would only do so in the thread."""
        wanted = request._expected_100_continue and not isinstance(conn.framing, Unread)  # noqa: SLF001
        if wanted and not conn.buffer:
            with contextlib.suppress(OSError):
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        request._expected_100_continue = False  # noqa: SLF001

    def _serve_soon(self, conn: Connection, request: GatewayRequest, decode: Callable[[], bytes]) -> None:
        """Hand a whole request to the thread pool, where a thread is free."""
        self.fresh.discard(conn)
        full = self._serving >= self._most or self._answering.under_way >= 2 * self._most
        if full and not conn.vital:
            self._refuse(conn, Overloaded(self.retry_after()))
            return
        self._serving += not conn.vital
        self._faulty += conn.faulty
        self._unwatch(conn)
        self.tpool.submit(self._answering.handle, self._answering.begin(conn), request, decode)

    def finish_request(self, conn: Connection, after: After) -> None:
        """Take a connection back from its thread."""
        self._serving -= not conn.vital
        self._faulty -= conn.faulty
        if after is After.RESET:
            self._drop(conn, abort=True)
        elif after is After.CLOSE:
            self._close_slowly(conn)
        else:
            conn.served += 1
            conn.forget_request()
            keepalive = float(self.cfg.keepalive)
            self._watch(conn, keepalive if self.alive else min(keepalive, STOP_KEEPALIVE_LINGER))
            if conn.buffer:  # the client sent its next request along: the poller will not tell of it again
                self._begin(conn)
                self._advance(conn)

    def _refuse(self, conn: Connection, fault: BaseException) -> None:
        refuse(conn, fault)
        self._close_slowly(conn)

    def _refuse_or_ask(self, conn: Connection, fault: Exception) -> None:
        """A request cannot be read. Where only its body is at fault, that is for the application to tell.

        Path, method, key and the limits that need no body come before it (contract, section 4). But a crowd of such
        clients, whose deadlines pass together, gets no threads that others need.
        """
        if conn.request is None or conn.framing is None or (self._faulty >= self._most_faulty and not conn.vital):
            self._refuse(conn, fault)
        else:
            conn.buffer.clear()
            conn.faulty = True
            self._serve_soon(conn, conn.request, partial(_fail, fault))

    def _close_slowly(self, conn: Connection) -> None:
        """End the answer, but let the client finish sending: a plain close now could cost it the answer.

        That is what gunicorn's `close_graceful` does (RFC 9112, section 9.6), only without blocking.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.state = State.CLOSING
        self.fresh.discard(conn)
        conn.buffer.clear()
        self._watch(conn, _LINGER_SECONDS)


def _fail(fault: Exception) -> bytes:
    raise fault
