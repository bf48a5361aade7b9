"""C-alpha traces and their contacts as SVG text, for pages that are read without JavaScript.

    front   the plane of the two longest principal axes of the chain
    side    the same, turned by 90 degrees about the longest one

The chain is drawn as a smooth curve (Catmull and Rom 1974) from back to front; what is nearer is
darker and thicker. Colours are CSS variables with defaults, as in `deft.reports.chart`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.reports.chart.canvas import COLOURS

Trace = NDArray[np.float64]
MOTIF, SCAFFOLD = f"var(--c1,{COLOURS[1]})", f"var(--c0,{COLOURS[0]})"
CONTACT, _APART = 8.0, 3  # angstrom; residues along the chain
_SIZE, _EDGE, _PIECES, _LEVELS = 200, 12, 4, 12
_THIN, _THICK, _PALE = 1.6, 4.4, 0.3


def axes_of(xyz: Trace) -> Trace:
    """The principal axes of a chain as rows, the longest first, of a right-handed frame; each
    points to where the chain begins.
    """
    x = xyz - xyz.mean(0)
    rows: Trace = np.linalg.svd(x, full_matrices=True)[2]
    signs = np.sign(rows @ x[0])
    rows = rows * np.where(signs == 0, 1.0, signs)[:, None]
    rows[2] = np.cross(rows[0], rows[1])
    return rows


def two_sides(xyz: Trace, motif: Collection[int]) -> tuple[str, str]:
    """A trace from the front and from the side, as two SVG pictures of the same scale."""
    turned = (xyz - xyz.mean(0)) @ axes_of(xyz).T
    front, side = turned, turned[:, [0, 2, 1]] * np.array([1.0, 1.0, -1.0])
    reach = float(np.abs(turned).max()) or 1.0
    return _drawn(front, motif, reach, "front"), _drawn(side, motif, reach, "side")


def contact_map(xyz: Trace, motif: Collection[int]) -> str:
    """Which residues are within 8 angstrom of each other, three or more apart along the chain;
    contacts within the motif in its colour, and the motif along the diagonal.
    """
    n = len(xyz)
    near = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1) < CONTACT
    pairs = np.argwhere(near & (np.abs(np.subtract.outer(np.arange(n), np.arange(n))) >= _APART))
    held = set(motif)
    inside = [(i, j) for i, j in pairs.tolist() if i in held and j in held]
    others = [(i, j) for i, j in pairs.tolist() if not (i in held and j in held)]
    parts = [
        f'<rect width="{n}" height="{n}" fill="var(--tint,#f5f7f9)"/>',
        f'<path d="{_cells([(i, i) for i in range(n) if i not in held])}" '
        'fill="var(--line,#dfe3e8)"/>',
        f'<path d="{_cells([(i, i) for i in sorted(held)] + inside)}" fill="{MOTIF}"/>',
        f'<path d="{_cells(others)}" fill="{SCAFFOLD}"/>',
    ]
    return _svg(n, "".join(parts), "contact map")


def _drawn(x: Trace, motif: Collection[int], reach: float, side: str) -> str:
    """A trace whose first two coordinates are seen and whose third points to the reader."""
    scale = (_SIZE / 2 - _EDGE) / reach
    curve, held = _smooth(x), set(motif)
    places = _SIZE / 2 + scale * curve[:, :2] * np.array([1.0, -1.0])
    near = (curve[1:, 2] + curve[:-1, 2]) / 2 / reach
    level = np.clip((near + 1) / 2 * _LEVELS, 0, _LEVELS - 1).astype(int)
    parts = []
    for depth in range(_LEVELS):
        share = depth / (_LEVELS - 1)
        look = (
            f'stroke-width="{_THIN + (_THICK - _THIN) * share:.1f}" '
            f'stroke-opacity="{_PALE + (1 - _PALE) * share:.2f}"'
        )
        for colour, is_motif in ((SCAFFOLD, False), (MOTIF, True)):
            lines = "".join(
                f"M{places[k, 0]:.1f} {places[k, 1]:.1f}L{places[k + 1, 0]:.1f} "
                f"{places[k + 1, 1]:.1f}"
                for k in np.flatnonzero(level == depth).tolist()
                if (round(k / _PIECES) in held) == is_motif
            )
            if lines:
                parts.append(f'<path d="{lines}" stroke="{colour}" {look}/>')
    inside = f'<g fill="none" stroke-linecap="round">{"".join(parts)}</g>'
    return _svg(_SIZE, inside, f"trace, {side}")


def _smooth(x: Trace) -> Trace:
    """The curve through the points, with points between them."""
    ends = np.concatenate([[2 * x[0] - x[1]], x, [2 * x[-1] - x[-2]]])
    u = np.arange(_PIECES)[:, None] / _PIECES
    pieces = [
        0.5
        * (
            2 * b
            + (c - a) * u
            + (2 * a - 5 * b + 4 * c - d) * u**2
            + (3 * b - a - 3 * c + d) * u**3
        )
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:])
    ]
    return np.concatenate([*pieces, x[-1:]])


def _cells(pairs: list[Any]) -> str:
    return "".join(f"M{j} {i}h1v1h-1z" for i, j in pairs)


def _svg(size: int, inside: str, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="{title}">{inside}</svg>'
    )
