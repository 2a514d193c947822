"""Plots as SVG, each for a light and a dark page: lines over a logarithmic axis, and horizontal bars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

THEMES: Final = {
    "light": {"text": "#1f2328", "grid": "#d1d9e0", "lines": ("#0969da", "#bc4c00", "#1a7f37"), "other": "#8c959f"},
    "dark": {"text": "#e6edf3", "grid": "#3d444d", "lines": ("#4493f8", "#f0883e", "#3fb950"), "other": "#768390"},
}
_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 48
_BAR, _LABELS = 26, 210


@dataclass(frozen=True, slots=True)
class Plot:
    """Colours of one theme, and the elements drawn so far."""

    theme: str
    height: int
    parts: list[str]

    def text(self, x: float, y: float, words: str, anchor: str = "middle", weight: str = "normal") -> None:
        """Write words."""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{THEMES[self.theme]["text"]}">{escape(words)}</text>'
        )

    def rule(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw a line of the grid."""
        stroke = THEMES[self.theme]["grid"]
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{stroke}" fill="none"/>')

    def document(self, title: str) -> str:
        """The file."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self.height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="12"><title>{escape(title)}</title>'
            f"{''.join(self.parts)}</svg>\n"
        )


def lines(theme: str, title: str, axes: tuple[str, str], series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Curves over a logarithmic axis that begins at 0 or at the first value."""
    plot = Plot(theme, _HEIGHT, [])
    values = sorted({x for points in series.values() for x, _ in points})
    most = _ceiling(max(y for points in series.values() for _, y in points))
    where = {x: _LEFT + share * (_WIDTH - _LEFT - _RIGHT) for x, share in zip(values, _shares(values), strict=True)}
    bottom, height = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    for step in range(5):
        y = bottom - height * step / 4
        plot.rule(_LEFT, y, _WIDTH - _RIGHT, y)
        plot.text(_LEFT - 8, y + 4, f"{most * step / 4:,.4g}", "end")
    for x, at in where.items():
        plot.text(at, bottom + 18, _short(x), "end" if x == values[-1] else "middle")
    plot.text(_LEFT, 18, title, "start", "bold")
    plot.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, axes[0])
    plot.text(_LEFT - 8, _TOP - 10, axes[1], "end")
    for number, (name, points) in enumerate(series.items()):
        colour = THEMES[theme]["lines"][number]
        path = "L".join(f"{where[x]:.1f} {bottom - height * y / most:.1f}" for x, y in points)
        plot.parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        for x, y in points:
            plot.parts.append(
                f'<circle cx="{where[x]:.1f}" cy="{bottom - height * y / most:.1f}" r="3" fill="{colour}"/>'
            )
        at = _LEFT + 8 + 150 * number
        plot.parts.append(f'<rect x="{at}" y="{_TOP - 18}" width="10" height="10" fill="{colour}"/>')
        plot.text(at + 16, _TOP - 9, name, "start")
    return plot.document(title)


def bars(theme: str, title: str, unit: str, values: Mapping[str, float], ours: str) -> str:
    """One bar for each name."""
    plot = Plot(theme, _TOP + _BAR * len(values) + 12, [])
    most = max(values.values())
    plot.text(8, 18, f"{title} ({unit})", "start", "bold")
    for number, (name, value) in enumerate(values.items()):
        y = _TOP + number * _BAR
        width = (_WIDTH - _LABELS - 70) * value / most
        colour = THEMES[theme]["lines"][0] if name == ours else THEMES[theme]["other"]
        plot.text(_LABELS - 8, y + 14, name, "end")
        plot.parts.append(f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR - 6}" fill="{colour}"/>')
        plot.text(_LABELS + width + 6, y + 14, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", "start")
    return plot.document(title)


def _shares(values: Sequence[float]) -> list[float]:
    """Places on the axis between 0 and 1, logarithmic; 0 stands one step below the first positive value."""
    logs = [math.log10(value) if value else math.log10(values[1]) - 1 for value in values]
    return [(log - logs[0]) / ((logs[-1] - logs[0]) or 1) for log in logs]


def _ceiling(value: float) -> float:
    """A round number that is not below the value."""
    power = 10 ** math.floor(math.log10(value)) if value else 1
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value)


def _short(value: float) -> str:
    """A number as a label: binary multiples of 1,024 with their prefix, thousands with commas."""
    for size, unit in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if value and not value % size:
            return f"{value / size:g} {unit}"
    return f"{value:,.0f}"
