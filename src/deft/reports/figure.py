"""Pictures as PNG, with numpy and Pillow alone.

Signals with one channel are grey, with three in colour; of others the first channel is shown.
Signals along one axis are drawn as curves. Standard deviations have a perceptual colour map of
their own, dark for certain.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_BROKEN = (255, 0, 255)

# Eleven places of the colour map `magma` (Smith & van der Walt 2015, public domain); lightness
# rises evenly.
_MAGMA = (
    "000004",
    "140e36",
    "3b0f70",
    "641a80",
    "8c2981",
    "b73779",
    "de4968",
    "f7705c",
    "fe9f6d",
    "fecf92",
    "fcfdbf",
)


def picture(x: NDArray[Any], value_range: tuple[float, float]) -> Picture:
    """A signal (channels, *space) as (height, width, 3); values beyond the range are shown at its
    ends.
    """
    low, high = value_range
    if x.ndim == 2:
        return _curve(x[0], low, high)
    unit = np.clip((np.nan_to_num(x, nan=low) - low) / max(high - low, 1e-12), 0, 1)
    shown = unit if len(x) == 3 else np.repeat(unit[:1], 3, axis=0)
    return np.round(255 * shown.transpose(1, 2, 0)).astype(np.uint8)


def drawn(x: NDArray[Any], value_range: tuple[float, float]) -> Picture:
    """A sample as a picture, in which values that are not finite are magenta; a curve of which any
    is not is magenta as a whole.
    """
    broken = ~np.isfinite(x).all(axis=0)
    shown = picture(np.where(np.isfinite(x), x, value_range[0]), value_range)
    if not broken.any():
        return shown
    return np.where(
        broken[..., None] if x.ndim > 2 else True, np.array(_BROKEN, dtype=np.uint8), shown
    )


def heat(x: NDArray[Any], high: float) -> Picture:
    """Values (height, width) between 0 and `high` in colour."""
    table = np.array(
        [[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in _MAGMA], dtype=np.float64
    )
    place = np.clip(np.nan_to_num(x, nan=high) / max(high, 1e-12), 0, 1) * (len(table) - 1)
    rgb = np.stack(
        [np.interp(place, np.arange(len(table)), table[:, c]) for c in range(3)], axis=-1
    )
    return np.round(rgb if x.ndim == 2 else np.repeat(rgb[None], 24, axis=0)).astype(np.uint8)


def with_scale(shown: Picture, high: float) -> Picture:
    """A picture of `heat` with its colours and their values, 0 to `high`, in a strip below it."""
    from PIL import Image, ImageDraw, ImageFont

    font, label, gap = ImageFont.load_default(size=11), f"{high:.3g}", 4
    least = font.getlength("0") + font.getlength(label) + 3 * gap + 24
    scale = max(1, -(-round(least) // shown.shape[1]))
    picture = np.kron(shown, np.ones((scale, scale, 1), dtype=np.uint8))
    width = picture.shape[1]
    start, end = gap + int(font.getlength("0")) + gap, width - int(font.getlength(label)) - 2 * gap
    strip = Image.new("RGB", (width, 18), "white")
    strip.paste(
        Image.fromarray(heat(np.linspace(0, 1, end - start)[None].repeat(10, 0), 1.0)), (start, 4)
    )
    draw = ImageDraw.Draw(strip)
    draw.text((gap, 2), "0", fill="#222", font=font)
    draw.text((end + gap, 2), label, fill="#222", font=font)
    return np.concatenate([picture, np.asarray(strip)])


def heat_gradient() -> str:
    """The colour map as a CSS gradient."""
    return "linear-gradient(to right," + ",".join(f"#{code}" for code in _MAGMA) + ")"


def hatch(shown: Picture, coverage: NDArray[Any]) -> Picture:
    """A measurement with the places that were not observed (coverage 0, shape (1, *space)) hatched
    in a neutral tone.
    """
    if coverage.ndim != 3 or shown.shape[:2] != coverage.shape[1:]:
        return shown
    rows, columns = np.indices(shown.shape[:2])
    tone = np.where((rows + columns) % 4 < 2, 132, 156)[..., None] + np.array([0, 4, 14])
    return np.where(coverage[0][..., None] > 0.5, shown, tone).astype(np.uint8)


def png(shown: Picture, scale: int = 1) -> bytes:
    """A picture as a PNG file, every pixel `scale` times as wide."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(
        np.kron(shown, np.ones((scale, scale, 1), dtype=np.uint8)) if scale > 1 else shown
    ).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def enlargement(shape: tuple[int, ...], wanted: int = 112) -> int:
    """By which whole factor a signal of this event shape is enlarged to be about `wanted` pixels
    wide.
    """
    return 1 if len(shape) < 3 else max(1, round(wanted / max(shape[1:])))


def grid(
    rows: Sequence[Sequence[Picture | None]],
    columns: Sequence[str],
    *,
    scale: int = 3,
    gap: int = 6,
) -> Picture:
    """Pictures of one size in rows, with a label above each column; None leaves a place empty."""
    from PIL import Image, ImageDraw, ImageFont

    first = next(p for row in rows for p in row if p is not None)
    height, width = first.shape[0] * scale, first.shape[1] * scale
    font = ImageFont.load_default(size=13)
    lines = [_wrapped(label, font, width) for label in columns]
    top = gap + 16 * max(len(line) for line in lines)
    sheet = Image.new(
        "RGB", (len(columns) * (width + gap) + gap, top + len(rows) * (height + gap)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for j, label in enumerate(lines):
        for k, line in enumerate(label):
            x = gap + j * (width + gap) + (width - draw.textlength(line, font=font)) / 2
            draw.text((x, top - gap / 2 - 16 * (len(label) - k)), line, fill="#222", font=font)
    for i, row in enumerate(rows):
        for j, shown in enumerate(row):
            if shown is not None:
                tile = Image.fromarray(shown).resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(tile, (gap + j * (width + gap), top + i * (height + gap)))
    return np.asarray(sheet)


def _wrapped(label: str, font: Any, width: int) -> list[str]:
    """A label in lines no wider than a picture, broken between words."""
    lines: list[str] = []
    for word in label.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines or [""]


def _curve(
    values: NDArray[Any], low: float, high: float, height: int = 96, width: int = 192
) -> Picture:
    from PIL import Image, ImageDraw

    margin = 0.08 * (high - low)
    sheet = Image.new("RGB", (2 * width, 2 * height), "white")
    place = np.linspace(4, 2 * width - 4, len(values))
    level = (
        2
        * height
        * (1 - (np.nan_to_num(values) - low + margin) / max(high - low + 2 * margin, 1e-12))
    )
    ImageDraw.Draw(sheet).line(list(zip(place.tolist(), level.tolist())), fill="#1f4e79", width=3)
    return np.asarray(sheet.resize((width, height), Image.Resampling.LANCZOS))
