"""Call rates: at most so many calls of a subscription in any so many seconds (`gateway.products.Rate`).

`CallRates.take` is the way in. It counts in one of three places behind one interface, `Windows`: in this process
(`memory`), in the store's database (`stored`), in Redis (`shared`). `gateway.wiring.build_call_rates` chooses.
"""

from gateway.rates.calls import CallRates, RateWindow
from gateway.rates.memory import MemoryWindows
from gateway.rates.windows import Taken, Windows

__all__ = ["CallRates", "MemoryWindows", "RateWindow", "Taken", "Windows"]
