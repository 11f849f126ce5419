"""The plot beside the Markdown, as SVG. The same figures give the same bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

from tests.bench import figures
from tests.bench.frontend import KINDS
from tests.bench.table import TITLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

    from tests.bench.frontend import FrontResult
    from tests.bench.rounds import Result, Series
    from tests.bench.sides import Name

# Distinct in grey and for those who see few colours (Okabe and Ito's).
_COLOURS: Mapping[Name, str] = {
    "bare": "#000000",
    "serve": "#0072B2",
    "get-data": "#D55E00",
    "chat": "#E69F00",
    "litellm": "#009E73",
}
_MARKERS: Mapping[Name, str] = {"bare": "o", "serve": "s", "get-data": "D", "chat": "^", "litellm": "v"}
_SETTINGS: Any = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}


class _Style(NamedTuple):
    """How a line is told from others."""

    label: str
    colour: str
    marker: str


def render(result: Result | None, front: FrontResult | None) -> bytes:
    """Medians as points, the least and the largest of the rounds as bars."""
    rows = 2 * (result is not None) + (front is not None)
    with mpl.rc_context(_SETTINGS):
        drawing = Drawing(figsize=(10, 3.4 * rows), layout="constrained")
        FigureCanvasSVG(drawing)
        places = drawing.subplots(rows, 2, squeeze=False)
        if result is not None:
            _draw_sides(places[:2].ravel().tolist(), result)
        if front is not None:
            _draw_front(places[-1].tolist(), front)
        out = io.BytesIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _draw_sides(axes: Sequence[Axes], result: Result) -> None:
    names = list(next(iter(result.series.values())))
    base = names[0]
    for place, stream in zip(axes, (False, True), strict=False):
        way = "streamed" if stream else "whole"

        def over_base(name: Name, sides: Mapping[Name, Series]) -> list[float]:
            return figures.ratios(sides[name].tokens_per_second, sides[base].tokens_per_second)

        _draw(place, result, f"Output tokens/s, {way}, over {_title(base)}", over_base, stream=stream)
        place.axhline(1.0, color=_COLOURS[base], linewidth=0.8)
    _draw(
        axes[2],
        result,
        "First token p50, ms",
        lambda name, sides: [1000 * value for value in sides[name].first_p50],
        stream=True,
    )
    _draw(
        axes[3],
        result,
        "Front end's CPU for 1,000 streamed tokens, ms",
        lambda name, sides: [1000 * value for value in sides[name].front_cpu],
        stream=True,
    )
    for place in axes[2:]:
        place.set_yscale("log")
    axes[0].legend(fontsize=7)


def _draw(
    place: Axes,
    result: Result,
    title: str,
    values: Callable[[Name, Mapping[Name, Series]], list[float]],
    *,
    stream: bool,
) -> None:
    cells = [cell for cell in result.series if cell.stream == stream]
    names = list(result.series[cells[0]])
    for turn, name in enumerate(names):
        found = [figures.Figure.of(values(name, result.series[cell])) for cell in cells]
        # Side by side, so that the bars can be told apart.
        at = [index + 0.08 * (turn - (len(names) - 1) / 2) for index in range(len(cells))]
        _points(place, at, found, _Style(_title(name), _COLOURS[name], _MARKERS[name]))
    place.set_xticks(range(len(cells)), [str(cell.level) for cell in cells])
    place.set_xlabel("requests at a time")
    place.set_title(title)


def _draw_front(axes: Sequence[Axes], front: FrontResult) -> None:
    least = min(cell.workers for cell in front.series)
    levels = sorted({cell.level for cell in front.series})
    numbers = sorted({cell.workers for cell in front.series})
    busiest = levels[-1]
    colours = list(_COLOURS.values())
    for kind, colour, marker in zip(KINDS, colours, _MARKERS.values(), strict=True):
        of_kind = {cell: series for cell, series in front.series.items() if cell.kind == kind}
        by_level = [
            figures.Figure.of(series.requests_per_core) for cell, series in of_kind.items() if cell.workers == least
        ]
        _points(axes[0], range(len(by_level)), by_level, _Style(str(kind), colour, marker))
        by_number = {cell.workers: series for cell, series in of_kind.items() if cell.level == busiest}
        found = [figures.Figure.of(by_number[number].requests_per_second) for number in numbers if number in by_number]
        _points(axes[1], range(len(found)), found, _Style(str(kind), colour, marker))
    axes[0].set_xticks(range(len(levels)), [str(level) for level in levels])
    axes[0].set_xlabel("requests at a time")
    axes[0].set_title("Front end alone: requests for a CPU second")
    axes[0].legend(fontsize=7)
    axes[1].set_xticks(range(len(numbers)), [str(number) for number in numbers])
    axes[1].set_xlabel("workers")
    axes[1].set_title(f"Front end alone: requests/s, {busiest} at a time")
    for place in axes:
        place.set_ylim(bottom=0)


def _points(place: Axes, at: Sequence[float], found: Sequence[figures.Figure], style: _Style) -> None:
    medians = [one.median for one in found]
    below = [one.median - one.low for one in found]
    above = [one.high - one.median for one in found]
    place.errorbar(
        list(at),
        medians,
        yerr=[below, above],
        label=style.label,
        color=style.colour,
        marker=style.marker,
        markersize=4,
        linewidth=1,
        capsize=2,
    )


def _title(name: Name) -> str:
    return TITLES[name].replace("`", "")
