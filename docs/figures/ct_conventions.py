"""Draw the picture of docs/ct.md: where detector cells, rays and angles of a scan are.

python docs/figures/ct_conventions.py
"""

from __future__ import annotations

import math
from pathlib import Path

BLUE, RED, GREY, BLACK = "#1f5fa8", "#b03a2e", "#888888", "#222222"
HALF = 60  # of the image's side, in the picture's units


class Panel:
    """SVG with +X to the right and +Y to the top, around a rotation centre."""

    def __init__(self, x: float, y: float, title: str) -> None:
        self.x, self.y, self.parts = x, y, []
        self.text(0, 178, title, size=13, bold=True)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x, self.y - y

    def line(self, a, b, colour=BLACK, width=1.2, arrow=False, dash="") -> None:
        (x1, y1), (x2, y2) = self.at(*a), self.at(*b)
        end = (
            f' marker-end="url(#{"blue" if colour == BLUE else "red" if colour == RED else "black"})"'
            if arrow
            else ""
        )
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashed}{end}/>'
        )

    def text(self, x, y, text, colour=BLACK, size=11, anchor="middle", bold=False) -> None:
        px, py = self.at(x, y)
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{px:.1f}" y="{py:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>{text}</text>'
        )

    def image(self) -> None:
        x, y = self.at(-HALF, HALF)
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{2 * HALF}" height="{2 * HALF}" fill="#f3f3f3" stroke="{GREY}"/>'
        )
        self.text(-HALF + 3, HALF - 12, "row 0, column 0", GREY, 9, "start")
        x, y = self.at(0, 0)
        self.parts.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="{BLACK}"/>')

    def turn(self, radius: float, degrees: float) -> None:
        (x1, y1), (x2, y2) = self.at(radius, 0), self.at(*polar(radius, degrees))
        self.parts.append(
            f'<path d="M {x1:.1f} {y1:.1f} A {radius} {radius} 0 0 0 {x2:.1f} {y2:.1f}" fill="none" stroke="{BLACK}" marker-end="url(#black)"/>'
        )
        self.text(*polar(radius + 10, degrees / 2), "θ", size=12)

    def detector(
        self, theta: float, away: float, spacing: float, cells: int = 7
    ) -> list[tuple[float, float]]:
        """Cells along e, at the distance `away` along f; where they are."""
        (ex, ey), (fx, fy) = polar(1, theta), polar(1, theta + 90)
        places = []
        for d in range(cells):
            s = (d - (cells - 1) / 2) * spacing
            places.append((s * ex + away * fx, s * ey + away * fy))
            (a, b), (c, e) = (
                (p[0] + k * 0.42 * spacing * ex, p[1] + k * 0.42 * spacing * ey)
                for p in [places[-1]]
                for k in (-1, 1)
            )
            self.line((a, b), (c, e), BLUE, 4)
        for d, place in ((0, places[0]), (cells - 1, places[-1])):
            self.text(
                place[0] + 14 * fx,
                place[1] + 14 * fy - 4,
                f"cell {d}" if d == 0 else "last",
                BLUE,
                10,
            )
        return places


def polar(radius: float, degrees: float) -> tuple[float, float]:
    return radius * math.cos(math.radians(degrees)), radius * math.sin(math.radians(degrees))


def parallel(panel: Panel, theta: float) -> None:
    panel.image()
    for place in panel.detector(theta, 118, 24):
        fx, fy = polar(1, theta + 90)
        panel.line(
            (place[0] - 225 * fx, place[1] - 225 * fy),
            (place[0] - 5 * fx, place[1] - 5 * fy),
            RED,
            0.7,
            True,
        )
    panel.line((0, 0), polar(92, theta), BLUE, 1.6, True)
    panel.text(*polar(102, theta), "e", BLUE, 12)
    panel.line((0, 0), polar(40, theta + 90), RED, 1.6, True)
    panel.text(*polar(28, theta + 115), "f", RED, 12)
    if theta:
        panel.line((0, 0), (85, 0), GREY, 0.8, dash="3 3")
        panel.turn(50, theta)


def fan(panel: Panel, theta: float) -> None:
    panel.image()
    source = polar(140, theta - 90)
    for place in panel.detector(theta, 112, 32):
        panel.line(source, tuple(s + 0.97 * (p - s) for s, p in zip(source, place)), RED, 0.7, True)
    panel.text(source[0] + 8, source[1] - 4, "source", RED, 10, "start")
    panel.line((0, 0), polar(82, theta), BLUE, 1.6, True)
    panel.text(*polar(92, theta), "e", BLUE, 12)
    panel.line((0, 0), (80, 0), GREY, 0.8, dash="3 3")
    panel.turn(50, theta)
    middle = polar(70, theta - 90)
    panel.text(middle[0] - 8, middle[1], "R", BLACK, 12)
    middle = polar(82, theta + 90)
    panel.text(middle[0] + 10, middle[1], "L", BLACK, 12)


def main() -> None:
    panels = [
        Panel(160, 210, "parallel, θ = 0°"),
        Panel(480, 210, "parallel, θ = 30°"),
        Panel(810, 210, "fan = (R, L), θ = 30°"),
    ]
    parallel(panels[0], 0.0)
    parallel(panels[1], 30.0)
    fan(panels[2], 30.0)
    panels[0].line((-150, -150), (-110, -150), BLACK, 1.2, True)
    panels[0].line((-150, -150), (-150, -110), BLACK, 1.2, True)
    panels[0].text(-98, -154, "+X")
    panels[0].text(-150, -102, "+Y")
    markers = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
        for name, colour in (("blue", BLUE), ("red", RED), ("black", BLACK))
    )
    body = "\n".join(part for panel in panels for part in panel.parts)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="980" height="400" viewBox="0 0 980 400" font-family="sans-serif">\n'
        f'<defs>{markers}</defs>\n<rect width="980" height="400" fill="white"/>\n{body}\n</svg>\n'
    )
    Path(__file__).with_name("ct-conventions.svg").write_text(svg)


if __name__ == "__main__":
    main()
