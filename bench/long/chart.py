"""Draws the two kinds of charts of the long comparison as SVG: lines over time, and ranges of latencies.

Both take data and a path; what a line looks like is said by its style, a colour and a dash pattern.
"""
from html import escape
from math import ceil, floor, log10

WIDTH, LEFT, TOP, BOTTOM = 1000, 90, 84, 64
LEGEND = 240
GREY, INK = "#d9d9d9", "#222222"


class Page:
    """A white sheet with a title, on which elements are put."""

    def __init__(self, height, title, subtitle):
        self.height = height
        self.elements = []
        self.text(LEFT, 32, title, size=20, weight="bold")
        self.text(LEFT, 56, subtitle, size=13)

    def text(self, x, y, text, size=13, anchor="start", weight="normal", turn=None):
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn is not None else ""
        self.elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
            f' fill="{INK}"{turned}>{escape(text)}</text>')

    def line(self, points, colour, width=1.0, dash=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.elements.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
                             f' stroke-dasharray="{dash}" stroke-linejoin="round"/>')

    def box(self, x, y, width, height, colour):
        self.elements.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def dot(self, x, y, radius, colour):
        self.elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def write(self, path):
        with open(path, "w") as out:
            out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}"'
                      f' viewBox="0 0 {WIDTH} {self.height}" font-family="DejaVu Sans, Verdana, sans-serif">\n'
                      f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(self.elements) + "\n</svg>\n")


def steps(most, wanted=6):
    """Round numbers from 0 to the first that is no less than `most`."""
    raw = max(most, 1e-9) / wanted
    size = 10 ** floor(log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [step * n for n in range(ceil(most / step - 1e-9) + 1)]


def decades(values):
    """1, 2, 5, 10, 20 … from below the least value to above the greatest, as a logarithmic axis has them."""
    positive = [value for value in values if value > 0] or [1]
    ticks = [digit * 10.0 ** power for power in range(floor(log10(min(positive))), ceil(log10(max(positive))) + 2)
             for digit in (1, 2, 5)]
    first = max(tick for tick in ticks if tick <= min(positive))
    last = min(tick for tick in ticks if tick >= max(positive) and tick > first)
    return [tick for tick in ticks if first <= tick <= last]


def along(ticks, begin, end):
    """Where a value lies between two places, on the axis of these ticks; what is below the first lies there."""
    low, high = log10(ticks[0]), log10(ticks[-1])
    return lambda value: begin + (end - begin) * (log10(max(value, ticks[0])) - low) / (high - low)


def lines(path, title, subtitle, x_label, y_label, series, band):
    """`series`: (name, (colour, dash), [(x, y)]); `band`: (from, to, what it is). The upright axis is logarithmic."""
    height, right = 560, WIDTH - LEGEND
    page = Page(height, title, subtitle)
    foot = height - BOTTOM
    last = max(x for _, _, points in series for x, _ in points)
    x_ticks = [tick for tick in steps(last) if tick <= last * 1.001]
    y_ticks = decades([y for _, _, points in series for _, y in points])
    at_x = lambda x: LEFT + (right - LEFT) * x / last
    at_y = along(y_ticks, foot, TOP)
    begin, end, meaning = band
    page.box(at_x(begin), TOP, at_x(end) - at_x(begin), foot - TOP, "#f3f3f3")
    page.text(at_x(begin) + 6, TOP + 16, meaning, size=12)
    for tick in y_ticks:
        page.line([(LEFT, at_y(tick)), (right, at_y(tick))], GREY)
        page.text(LEFT - 8, at_y(tick) + 4, f"{tick:,.0f}", anchor="end")
    for tick in x_ticks:
        page.line([(at_x(tick), foot), (at_x(tick), foot + 5)], INK)
        page.text(at_x(tick), foot + 20, f"{tick:g}", anchor="middle")
    page.line([(LEFT, foot), (right, foot)], INK)
    page.text((LEFT + right) / 2, height - 16, x_label, anchor="middle")
    page.text(24, (TOP + foot) / 2, y_label, anchor="middle", turn=-90)
    for row, (name, (colour, dash), points) in enumerate(series):
        page.line([(at_x(x), at_y(y)) for x, y in points], colour, 2.2, dash)
        y = TOP + 10 + row * 24
        page.line([(right + 16, y), (right + 48, y)], colour, 2.6, dash)
        page.text(right + 56, y + 4, name, size=12)
    page.write(path)


def ranges(path, title, subtitle, x_label, rows, kinds):
    """`rows`: (name, {kind: (p50, p95, p99)}); `kinds`: (kind, colour, meaning). The axis is logarithmic."""
    left, pitch = 210, 16
    each = pitch * len(kinds) + 14
    foot = TOP + 40 + each * len(rows)
    page = Page(foot + BOTTOM, title, subtitle)
    right = WIDTH - 40
    ticks = decades([value for _, found in rows for three in found.values() for value in three])
    at_x = along(ticks, left, right)
    for tick in ticks:
        page.line([(at_x(tick), TOP + 24), (at_x(tick), foot)], GREY)
        page.text(at_x(tick), foot + 20, f"{tick:g}", anchor="middle")
    page.line([(left, foot), (right, foot)], INK)
    page.text((left + right) / 2, foot + 46, x_label, anchor="middle")
    for place, (_, colour, meaning) in enumerate(kinds):
        x = left + place * 250
        page.box(x, TOP - 8, 12, 12, colour)
        page.text(x + 18, TOP + 3, meaning, size=12)
    for row, (name, found) in enumerate(rows):
        y = TOP + 40 + row * each
        page.text(left - 12, y + pitch * (len(kinds) - 1) / 2 + 4, name, anchor="end")
        for place, (kind, colour, _) in enumerate(kinds):
            if kind not in found:
                continue
            p50, p95, p99 = (at_x(value) for value in found[kind])
            here = y + place * pitch
            page.line([(p50, here), (p99, here)], colour, 3)
            page.dot(p50, here, 5, colour)
            page.line([(p95, here - 5), (p95, here + 5)], colour, 3)
            page.line([(p99, here - 5), (p99, here + 5)], colour, 1.5)
    page.write(path)
