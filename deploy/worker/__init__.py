"""The gunicorn worker of the gateway: gthread, with deadlines, and with errors in the contract's form.

gunicorn's gthread worker gives each connection a thread and lets the thread read. Here the main loop reads,
without blocking, and a thread gets a request only once it is whole:

    accept -> READING (main loop) -> serving (pool thread) -> READING again, or CLOSING (main loop)

So a client that sends slowly costs a buffer and no thread, and a deadline is a number that the main loop
looks at. `docs/decisions/0002-worker-class.md` has the reasons.

- `loop`: the main loop. It knows a `connection`, and reads requests out of its buffer with `request`.
- `answering`: one request in its thread, which writes to an `answer_socket`; its log line comes `afterwards`.
- `refusal`: the answers to what is refused; `telling` sends and logs them.
- `openings`: which of several workers would serve a request. `stopping`: how one learns that the server stops.

A connection belongs to one thread at a time: to the main loop while it is in `GatewayWorker.waiting`, to a
pool thread between `Answering.begin` and `Loan.end`. That is why there are no locks.
"""

from deploy.worker.loop import GatewayWorker
from deploy.worker.stopping import drain_on_interrupt

__all__ = ["GatewayWorker", "drain_on_interrupt"]
