"""One run: start-up, rounds, report."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
from dataclasses import replace
from functools import partial

from gateway.engines.vllm.supervisor import set_engine_environment
from gateway.settings import SettingsError, load_settings
from tests.bench import arguments, frontend, litellm, machine, plot, report, rounds, startup
from tests.bench.sides import loaded


def main() -> None:
    """Measure and report."""
    chosen = arguments.parse(sys.argv[1:])
    # A run that is stopped reports what it has and leaves nothing running. In a shell's background SIGINT is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    words = "not asked for"
    if "d" in chosen.sides:
        words = f"litellm {litellm.VERSION} from PyPI, workers: {settings.workers}, its master key, no database"
        try:
            litellm.install()
        except litellm.NotInstalledError as error:
            chosen, words = replace(chosen, sides=chosen.sides.replace("d", "")), " ".join(str(error).split())
            sys.stderr.write(f"{words}\n")
    # All sides inherit it, and the report can say it.
    set_engine_environment(settings.engine_flags, small_model=settings.is_demo)
    load_before = os.getloadavg()[0]
    starts, result, front = startup.Starts(), None, None
    try:
        if "e" in chosen.sides:
            front = frontend.measure(chosen)
        to_the_end = front is None or front.rounds == chosen.rounds
        if to_the_end and {"a", "c"} <= set(chosen.sides):
            starts = startup.measure(chosen.starts)
        if to_the_end and set(chosen.sides) - {"e"}:
            result = rounds.measure(partial(loaded, chosen, settings), chosen)
    except KeyboardInterrupt:
        if front is None:
            sys.exit("stopped before the end of the first round: there is nothing to report")
    text = report.render(
        report.Run(
            arguments=chosen,
            settings=settings,
            machine=machine.describe(),
            date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            load_average=(load_before, os.getloadavg()[0]),
            starts=starts,
            litellm=words,
            result=result,
            front=front,
        )
    )
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(text)
    chosen.plot.write_bytes(plot.render(result, front))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
