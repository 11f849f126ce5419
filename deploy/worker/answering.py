"""One request, in a pool thread: the application is called, and what it answers is sent."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gunicorn.http import wsgi

from app.contract import BodyError
from deploy.worker.answer_socket import AnswerSocket
from deploy.worker.connection import After
from deploy.worker.refusal import answer_to
from deploy.worker.telling import places, record, refuse
from gateway.turn import Urgency, turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.worker.afterwards import Afterwards
    from deploy.worker.connection import Connection
    from deploy.worker.request import GatewayRequest


class ClientGoneError(Exception):
    """The client stopped reading, or hung up, while it was being answered."""


class FaultyBody(io.RawIOBase):
    """What the application reads where the body is at fault: the fault."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        answer = answer_to(fault)
        self._error = BodyError(answer.status, answer.message, type(fault).__name__)

    def readable(self) -> bool:
        """It is asked for as any other."""
        return True

    def readinto(self, _: object) -> int:
        """Raises BodyError."""
        raise self._error


class Worker(Protocol):
    """What a request in its thread needs of the worker."""

    cfg: Any
    log: Any
    wsgi: Callable[..., Any]
    by_turns: bool
    write_timeout: float
    afterwards: Afterwards

    def count_request(self) -> None:
        """One more is served."""

    def keeps_connections(self) -> bool:
        """Whether one may stay open after its answer."""

    def take_back(self, conn: Connection, after: After) -> None:
        """The connection is the main loop's again; called in a pool thread."""

    def request_is_over(self) -> None:
        """All that a request was is done, its log line too; called in any thread."""


class Loan:
    """A connection as a pool thread has it, with what its log lines say once the connection is back.

    Attributes:
        conn: not to be touched after `end`.
        left: whether the log line is left to `Afterwards`, with whom the request is over.
    """

    def __init__(self, conn: Connection, give_back: Callable[[Connection, After], None]) -> None:
        self.conn = conn
        self.trace_id = conn.trace_id
        self.started = conn.started
        self.vital = conn.vital
        self.left = False
        self._give_back = give_back
        self._over = False

    def end(self, after: After) -> None:
        """Give it back to the main loop; once, later calls change nothing."""
        if not self._over:
            self._over = True
            self._give_back(self.conn, after)


class Answering:
    """Answers requests, each in the thread that calls `handle`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """Requests that threads have, and answered ones whose log line is not written yet, but for the vital ones."""
        return self._under_way

    def begin(self, conn: Connection) -> Loan:
        """Lend a connection to the thread that is to handle its request."""
        if not conn.vital:
            self._count(+1)
        return Loan(conn, self._worker.take_back)

    def handle(self, loan: Loan, request: GatewayRequest, decode: Callable[[], bytes]) -> None:
        """Serve the one request that is whole, and give the connection back; no exception leaves here."""
        try:
            in_turn = self._worker.by_turns and not loan.vital
            with turn.during(Urgency.QUESTION) if in_turn else contextlib.nullcontext():
                loan.end(self._serve(loan, request, decode))
        except BaseException as failure:  # noqa: BLE001 - `_serve` is to catch everything
            loan.end(After.RESET)
            record("connection failed", loan, failure, where=places(failure))
        finally:
            if not loan.left:
                self._done_with(loan)

    def _done_with(self, loan: Loan) -> None:
        if not loan.vital:
            self._count(-1)
        self._worker.request_is_over()

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change

    def _serve(self, loan: Loan, request: GatewayRequest, decode: Callable[[], bytes]) -> After:
        """Answer it. Where its body is at fault the application is asked nevertheless: other things come before."""
        try:
            request.body = io.BytesIO(decode())
        except Exception as fault:  # noqa: BLE001 - a bad chunk, for example
            request.body = FaultyBody(fault)
        return self._call(request, loan)

    def _call(self, req: GatewayRequest, loan: Loan) -> After:
        """Call the application and send what it answers.

        gunicorn's own method would log the text of an exception, and could not tell an OSError of the
        application's from one of the client's socket.
        """
        response, environ = None, {}
        conn, cfg = loan.conn, self._worker.cfg
        try:
            cfg.pre_request(self._worker, req)
            sock = AnswerSocket(conn.sock, self._worker.write_timeout)
            response, environ = wsgi.create(req, sock, conn.client, conn.server, cfg)
            environ["wsgi.multithread"] = True
            environ["gateway.trace_id"] = conn.trace_id  # so that the application's log lines have the same
            environ["gateway.offer"] = partial(_offer, response)
            environ["gateway.catch_up"] = self._worker.afterwards.catch_up
            self._worker.count_request()
            if isinstance(req.body, FaultyBody) or not self._worker.keeps_connections():
                response.force_close()
            return self._respond(loan, response, environ)
        except ClientGoneError as gone:
            record("client gone", loan, gone.__cause__ or gone)
            return After.RESET
        except (Exception, SystemExit) as fault:  # noqa: BLE001 - an application can raise anything
            return _failed(loan, response, fault)
        finally:
            try:
                cfg.post_request(self._worker, req, environ, response)
            except Exception as fault:  # noqa: BLE001
                record("post_request failed", loan, fault, where=places(fault))

    def _respond(self, loan: Loan, response: Any, environ: dict[str, Any]) -> After:
        """Run the application, and send each piece as it comes.

        The connection goes back as soon as all is sent: what the application does afterwards, such as its log line, is
        nothing that the client's next request should wait for.
        """
        began = time.monotonic()
        result = self._worker.wsgi(environ, response.start_response)
        conclude = partial(self._conclude, response, environ, began, result)
        is_file = isinstance(result, environ["wsgi.file_wrapper"])
        try:
            if is_file:
                _send(response.write_file, result)
            else:
                for piece in result:
                    _send(response.write, piece)
            _send(response.close)
            _send(response.sock.flush)
            whole = is_file or not _sent_too_little(response)
            after = After.KEEP if whole and not response.should_close() else After.CLOSE
            environ["gateway.answered"] = time.monotonic()
            loan.end(after)
            if self._worker.by_turns and not loan.vital:
                loan.left = self._worker.afterwards.leave(partial(self._afterwards_of, loan, conclude))
        finally:
            if not loan.left:
                conclude()
        return after

    def _conclude(self, response: Any, environ: dict[str, Any], began: float, result: Any) -> None:
        """Write the log lines, and let go of what the application has answered."""
        taken = timedelta(seconds=environ.get("gateway.answered", time.monotonic()) - began)
        self._worker.log.access(response, response.req, environ, taken)
        if hasattr(result, "close"):
            result.close()

    def _afterwards_of(self, loan: Loan, conclude: Callable[[], None]) -> None:
        """The same where nobody is there any more whom a failure would reach."""
        try:
            conclude()
        except Exception as fault:  # noqa: BLE001 - an application can raise anything
            record("closing an answer failed", loan, fault, where=places(fault))
        finally:
            self._done_with(loan)


def _failed(loan: Loan, response: Any, fault: BaseException) -> After:
    """The application raised: answer 500, or break off what it has begun so that the client notices."""
    if response is None or not response.headers_sent:
        refuse(loan.conn, fault, where=places(fault))
        return After.CLOSE
    record("response broken off", loan, fault, where=places(fault))
    # Without the last chunk, or with less than Content-Length, an orderly end says enough, and lets what
    # was sent arrive. A response that only the end of the connection delimits needs the reset.
    delimited = response.chunked or response.response_length is not None
    return After.CLOSE if delimited else After.RESET


def _send(write: Callable[..., None], *args: Any) -> None:
    """Write to the client, with its socket's failures told apart from the application's."""
    try:
        write(*args)
    except OSError as error:
        raise ClientGoneError from error


def _offer(response: Any, piece: bytes) -> bool:
    """Send a piece from another thread, while this request's own waits for the next; whether all of it was taken.

    If not, nothing has failed yet: the piece is to be written as ever, and what has been sent of it is left out then.
    """
    framed = b"%X\r\n%b\r\n" % (len(piece), piece) if response.chunked else piece  # as gunicorn does
    taken: bool = response.sock.offer(framed)
    if taken:
        response.sent += len(piece)
    return taken


def _sent_too_little(response: Any) -> bool:
    """Whether the application sent less than its Content-Length: the client would wait for the rest."""
    promised: int | None = response.response_length
    return promised is not None and not response._omits_body and response.sent < promised  # noqa: SLF001
