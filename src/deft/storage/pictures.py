"""The one reader of pictures: images, measurements and masks come through the same decoder.

found
    the files of a place: one file, or a folder with its sub-folders; what is left out is counted
decoded    one picture, upright (orientation tags are followed), of one page
array      (channels, height, width), uint8 or uint16
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.errors import BadImage

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".gif",
    ".avif",
)
CHANNELS = {
    "1": 1,
    "L": 1,
    "I;16": 1,
    "I;16L": 1,
    "I;16B": 1,
    "P": 3,
    "RGB": 3,
    "YCbCr": 3,
    "LA": 2,
    "RGBA": 4,
    "PA": 4,
    "CMYK": 4,
}
_KNOWN = {
    ".npy",
    ".npz",
    ".json",
    ".jsonl",
    ".yaml",
    ".yml",
    ".txt",
    ".md",
    ".csv",
    ".html",
}  # beside pictures, and none
_HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")


class Unreadable(Exception):
    """A file that no decoder takes."""


def found(place: str | Path, what: str, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """The files of a place with one of these suffixes, sorted by name; hidden files and folders do
    not count.

    Other files that look like pictures or arrays are counted in one warning. Raises `BadImage`
    where there is nothing, or the place cannot be read.
    """
    place = Path(place)
    if not place.exists():
        raise BadImage(f"{place} does not exist.")
    if not os.access(place, os.R_OK):
        raise BadImage(f"{place} cannot be read: permission denied.")
    if place.is_file():
        return [place]
    every = sorted(visible(place))
    chosen = [path for path in every if path.suffix.lower() in suffixes]
    left = Counter(
        path.suffix.lower() or "no suffix" for path in every if path.suffix.lower() not in suffixes
    )
    if not chosen:
        kinds = ", ".join(sorted(left)[:5])
        arrays = (
            " Stack the arrays into one npy file, (n, channels, height, width), and give that."
            if {".npy", ".npz"} & set(left)
            else ""
        )
        others = f"{sum(left.values())} other files ({kinds})" if every else "nothing"
        raise BadImage(
            f"{place} holds no {what} ({', '.join(suffixes)}); it holds {others}.{arrays}"
        )
    strange = {
        kind: count
        for kind, count in left.items()
        if kind not in _KNOWN or kind in (".npy", ".npz")
    }
    if strange:
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(strange.items()))
        warnings.warn(
            f"{place}: {len(chosen)} {what} are read; left out are files of other kinds: "
            f"{counted}.",
            stacklevel=3,
        )
    return chosen


def visible(folder: Path) -> Iterator[Path]:
    """The files below a folder, hidden ones left out."""

    def refuse(error: OSError) -> None:
        raise BadImage(
            f"{error.filename or folder} cannot be read: {(error.strerror or str(error)).lower()}."
        ) from error

    for home, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _HIDDEN
        )
        yield from (
            Path(home) / name for name in files if not name.startswith(".") and name not in _HIDDEN
        )


def decoded(path: Path) -> Any:
    """The picture in a file, upright. Raises `Unreadable` for what is none or damaged, and
    `BadImage` for several pages, too many pixels, and where reading is denied.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                pages = getattr(image, "n_frames", 1)
                if (
                    pages > 1 and image.format != "MPO"
                ):  # a photograph with its preview, as telephones write them
                    raise BadImage(
                        f"{path}",
                        given=f"{pages} pages",
                        expected="one picture in a file",
                        advice="save each page as a file of its own",
                    )
                image.load()
                return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        size = re.search(r"\((\d+) pixels\)", str(error))
        raise BadImage(
            f"{path}",
            given=f"{int(size[1]):,} pixels" if size else "more pixels than the decoder takes",
            expected=f"at most {Image.MAX_IMAGE_PIXELS or 0:,}",
            advice="shrink or cut it first",
        ) from error
    except PermissionError as error:
        raise BadImage(f"{path} cannot be read: permission denied.") from error
    except BadImage:
        raise
    except (UnidentifiedImageError, Exception) as error:  # decoders raise many kinds
        if path.is_file() and _begins(path, b"\x93NUMPY"):
            raise Unreadable(f"{path} is no image but an npy array; name it .npy.") from error
        raise Unreadable(f"{path} is truncated or no image ({error}).") from error


def _begins(path: Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def with_channels(path: Path, image: Any, wanted: int, convert: str | None) -> Any:
    """The picture with so many channels. Raises `BadImage`, with what to do, where it has others
    and `convert` does not say to turn it.
    """
    if image.mode not in CHANNELS:
        raise BadImage(
            f"{path} holds values of mode {image.mode}, whose range is not known; save it as npy "
            "and use deft.data.Arrays."
        )
    after = {"rgb": 3, "grey": 1, None: CHANNELS[image.mode]}[convert]
    if after != wanted:
        offer = {1: "convert='grey'", 3: "convert='rgb'"}.get(
            wanted, "images of that many channels as an npy array"
        )
        given = f"{CHANNELS[image.mode]} channels (mode {image.mode})" + (
            f", {after} after convert={convert!r}" if convert else ""
        )
        raise BadImage(f"{path} has {given} and the prior takes {wanted}; use {offer}.")
    if image.mode.startswith("I;16"):
        return image  # `array` repeats it where it is asked for in colour
    if convert is not None and transparent(image) is not None:
        warnings.warn(
            f"{path} has transparent places; convert={convert!r} shows what lies behind them.",
            stacklevel=4,
        )
    return image.convert("L" if wanted == 1 else "RGB") if wanted in (1, 3) else image


def array(image: Any, wanted: int | None = None) -> NDArray[Any]:
    """(channels, height, width), uint8 or uint16; 16-bit grey is repeated where colour is
    wanted.
    """
    values = np.asarray(image)
    if values.dtype not in (np.uint8, np.uint16):
        values = values.astype(np.uint16 if image.mode.startswith("I;16") else np.uint8)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if wanted is not None and len(values) == 1 < wanted:
        values = np.repeat(values, wanted, axis=0)
    return np.ascontiguousarray(values)


def warn_if_dark(brightest: int, what: str) -> None:
    """Warn where 16-bit numbers reach a sixteenth of their range at most, as those of 12 bits
    do.
    """
    if brightest < 4096:
        warnings.warn(
            f"no value of {what} exceeds {brightest}, as if they held "
            f"{max(8, brightest.bit_length())} bits: they run over 0..65535 here and are "
            "almost black; save them with their full range, or as floating-point numbers, whose "
            "range can be said.",
            stacklevel=4,
        )


def transparent(image: Any) -> Any | None:
    """The alpha channel of a picture with transparent places; None for one without: whose places
    are all opaque, or nearly (a translucent picture).
    """
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return alpha if alpha.getextrema()[0] < 128 else None
