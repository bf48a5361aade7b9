"""Markup of the page: pictures as tiles, definitions, formulas, narrow tables.

A tile is one picture, stored inside the page as PNG.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from numpy.typing import NDArray

from deft.reports import figure
from deft.reports.table import Table

_WIDEST_TILE, _NARROWEST_TILE = (
    160,
    40,
)  # pixels; on a narrow page pictures shrink before they scroll


def tile(shown: figure.Picture, name: str) -> str:
    height, width = shown.shape[:2]
    scale = figure.enlargement((3, height, width))
    wide = min(width * scale, _WIDEST_TILE)
    kind = ' class="pixels"' if width * scale <= _WIDEST_TILE else ""
    data = base64.b64encode(figure.png(shown)).decode()
    return (
        f'<img{kind} width="{wide}" height="{round(wide * height / width)}" alt="{escape(name)}" '
        f'src="data:image/png;base64,{data}">'
    )


def tile_width(pictures: Mapping[str, NDArray[Any]]) -> int:
    width = figure.picture(pictures["truth"][0], range_of(pictures)).shape[1]
    shape = pictures["truth"].shape[1:]
    result: int = min(
        width * figure.enlargement((3, *shape[-2:]) if len(shape) == 3 else shape), _WIDEST_TILE
    )
    return result


def tiles(cells: Sequence[str], columns: int, width: int) -> str:
    return (
        '<div class="tiles" '
        f'style="grid-template-columns:repeat({columns},{track(width)})">{"".join(cells)}</div>'
    )


def track(width: int) -> str:
    """A column of pictures: as wide as they are, and narrower where the page is."""
    return f"minmax({min(width, _NARROWEST_TILE)}px,{width}px)"


def range_of(pictures: Mapping[str, NDArray[Any]]) -> tuple[float, float]:
    return float(pictures["value_range"][0]), float(pictures["value_range"][1])


def definitions(facts: Mapping[str, str]) -> str:
    rows = [f"<dt>{escape(name)}</dt><dd>{mathematics(text)}</dd>" for name, text in facts.items()]
    return f"<dl>{''.join(rows)}</dl>"


def mathematics(text: str) -> str:
    """Text as HTML, with the names of the code written as in a paper."""
    for name, sign in ((r"\bsigma_y\b", "σ_y"), (r"\beps\b", "ε"), (r" \* ", " · "), ("`", "")):
        text = re.sub(name, sign, text)
    return re.sub(r"\b(x|σ)_([0-9a-z])\b", r"\1<sub>\2</sub>", escape(text))


def narrow(table: Table) -> str:
    return table.html().replace("<table>", '<table class="narrow">')
