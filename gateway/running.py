"""The calls of one process that run, by their ids and by whose they are: looked at for every request."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.admission import Admission


class RunningCalls:
    """Calls that have a row which is open. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Admission] = {}
        self._by_account: dict[str, dict[str, Admission]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, call: str) -> bool:
        return call in self._by_id

    def add(self, admission: Admission) -> None:
        """It runs; again changes nothing."""
        call = admission.call
        with self._lock:
            self._by_id[call.id] = admission
            self._by_account.setdefault(call.account_key, {})[call.id] = admission

    def remove(self, admission: Admission) -> None:
        """It does not, any more, if it did."""
        call = admission.call
        with self._lock:
            self._by_id.pop(call.id, None)
            of_account = self._by_account.get(call.account_key, {})
            of_account.pop(call.id, None)
            if not of_account:
                self._by_account.pop(call.account_key, None)

    def all(self) -> Sequence[Admission]:
        """Those that run now."""
        with self._lock:
            return list(self._by_id.values())

    def of(self, account_key: str) -> Sequence[Admission]:
        """Those of a subscription, by `Call.account_key`."""
        with self._lock:
            return list(self._by_account.get(account_key, {}).values())

    def beside(self, admission: Admission) -> int:
        """How many others of its subscription run."""
        call = admission.call
        with self._lock:
            of_account = self._by_account.get(call.account_key, {})
            return len(of_account) - (call.id in of_account)
