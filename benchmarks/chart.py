"""Draws a chart as SVG: axes, ticks, lines and dots, nothing else."""

import enum
import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

import msgspec

Point = tuple[float, float]

WIDTH, HEIGHT = 760.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 16.0, 58.0, 46.0
COLOURS = ("#1b6ca8", "#c8553d", "#2f8f5b", "#8a5fb0", "#b8860b", "#5c6770", "#d4879c", "#3aa6a6")


class Style(enum.Enum):
    """How a series is drawn."""

    LINE = "line"
    DOTS = "dots"


class Series(msgspec.Struct, frozen=True):
    """Points that belong together.

    Attributes:
        name: For the legend.
        points: In the order in which a line goes through them.
        style: Whether a line goes through them.
    """

    name: str
    points: Sequence[Point]
    style: Style = Style.LINE


class Chart(msgspec.Struct, frozen=True):
    """One chart.

    Attributes:
        title: What it shows.
        across: What the horizontal axis is, with its unit.
        up: What the vertical axis is, with its unit.
        series: What is drawn, later over earlier.
        logarithmic: Whether the horizontal axis is.
        edges: Horizontal places of vertical rules.
        from_zero: Whether the vertical axis begins at 0.
    """

    title: str
    across: str
    up: str
    series: tuple[Series, ...]
    logarithmic: bool = False
    edges: tuple[float, ...] = ()
    from_zero: bool = True


def draw(chart: Chart) -> str:
    """The chart as SVG text."""
    xs = [x for series in chart.series for x, _ in series.points] or [0.0]
    ys = [y for series in chart.series for _, y in series.points] or [0.0]
    horizontal = _Axis.over(xs, (LEFT, WIDTH - RIGHT), logarithmic=chart.logarithmic)
    vertical = _Axis.over([0.0, *ys] if chart.from_zero else ys, (HEIGHT - BOTTOM, TOP))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
            'font-family="system-ui, sans-serif" font-size="11" fill="#333">',
            f'<rect width="{WIDTH:g}" height="{HEIGHT:g}" fill="#fff"/>',
            f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">{escape(chart.title)}</text>',
            *_across(chart, horizontal),
            *_up(chart, vertical),
            *(
                _series(series, COLOURS[i % len(COLOURS)], horizontal, vertical)
                for i, series in enumerate(chart.series)
            ),
            *_legend(chart.series),
            "</svg>\n",
        ]
    )


class _Axis(msgspec.Struct, frozen=True):
    """Maps values to pixels."""

    low: float
    high: float
    pixels: tuple[float, float]
    ticks: tuple[float, ...]
    scale: Callable[[float], float]

    @classmethod
    def over(cls, values: Sequence[float], pixels: tuple[float, float], *, logarithmic: bool = False) -> "_Axis":
        low, high = min(values), max(values)
        if logarithmic:
            low, high = max(low, 1e-9), max(high, 1e-9)
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            ticks = tuple(10.0**n * m for n in decades for m in (1, 2, 5) if low <= 10.0**n * m <= high)
            return cls(math.log10(low), math.log10(high * 1.001), pixels, ticks, math.log10)
        step = _step((high - low) or abs(high) or 1.0)
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        high = high if high > low else low + step
        ticks = tuple(low + step * n for n in range(round((high - low) / step) + 1))
        return cls(low, high, pixels, ticks, float)

    def at(self, value: float) -> float:
        start, end = self.pixels
        return start + (self.scale(value) - self.low) / ((self.high - self.low) or 1.0) * (end - start)


def _step(span: float) -> float:
    rough = span / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _across(chart: Chart, axis: _Axis) -> Iterator[str]:
    floor = HEIGHT - BOTTOM
    for tick in axis.ticks:
        x = axis.at(tick)
        yield f'<path d="M{x:.1f} {TOP}V{floor}" stroke="#eee"/>'
        yield f'<text x="{x:.1f}" y="{floor + 15}" text-anchor="middle">{tick:g}</text>'
    for edge in chart.edges:
        yield f'<path d="M{axis.at(edge):.1f} {TOP}V{floor}" stroke="#333" stroke-dasharray="4 3"/>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(chart.across)}</text>'


def _up(chart: Chart, axis: _Axis) -> Iterator[str]:
    for tick in axis.ticks:
        y = axis.at(tick)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#eee"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(chart.up)}</text>'


def _series(series: Series, colour: str, horizontal: _Axis, vertical: _Axis) -> str:
    places = [f"{horizontal.at(x):.1f} {vertical.at(y):.1f}" for x, y in series.points]
    if series.style is Style.LINE:
        return f'<path d="M{"L".join(places)}" fill="none" stroke="{colour}" stroke-width="1.6"/>' if places else ""
    dots = "".join(f"M{place}h0" for place in places)
    return f'<path d="{dots}" stroke="{colour}" stroke-width="2.6" stroke-linecap="round"/>'


def _legend(series: Sequence[Series]) -> Iterator[str]:
    x = LEFT
    for index, each in enumerate(series):
        yield f'<path d="M{x} 39h12" stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="4"/>'
        yield f'<text x="{x + 16}" y="43">{escape(each.name)}</text>'
        x += 32 + 6.2 * len(each.name)
