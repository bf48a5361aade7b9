"""The one reader of pictures: images, measurements and masks come through the same decoder.

found
    the files of a place: one file, or a folder with its sub-folders; what is left out is counted
decoded    one picture, upright (orientation tags are followed), of one page
pixels     (channels, height, width), uint8 or uint16
mask       (height, width), 1 where observed
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
import zlib
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
MASKS = (".npy", ".npz", *SUFFIXES)
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
_GREY = 0.05  # the share of in-between values of a mask that is worth a word
_MOSTLY_GREY = 0.5  # above it a picture is no mask


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
    every = sorted(_visible(place))
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


def _visible(folder: Path) -> Iterator[Path]:
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
        return image  # `pixels` repeats it where it is asked for in colour
    if convert is not None and _transparent(image) is not None:
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


def mask(path: str | Path, invert: bool = False) -> NDArray[np.float32]:
    """The mask in a picture or an npy file, (height, width): 1 where observed.

    Observed is what is white (at least half of the brightness; in a file of 0 and 1 what is 1), or
    what is opaque where the picture has transparent places; `invert` turns it round. Raises
    `BadImage` for what cannot be read, where nothing at all is observed, and where most values lie
    in between; warns where everything is, and where many values lie in between.
    """
    path = Path(path)
    values = _mask_values(path)
    between = float(((values > 0.02) & (values < 0.98)).mean())
    if between > _MOSTLY_GREY:
        raise BadImage(
            f"the mask {path}",
            given=f"values between black and white at {between:.0%} of the places",
            expected="white (1) where observed, black (0) where missing",
            advice="a photograph is no mask: save one of two values",
        )
    if between > _GREY:
        warnings.warn(
            f"{between:.0%} of the mask {path} are grey; at least half of the brightness counts "
            "as observed.",
            stacklevel=3,
        )
    observed = values >= 0.5
    observed = ~observed if invert else observed
    if not observed.any():
        raise BadImage(
            f"the mask {path}",
            given="no place that is observed",
            expected="white (1) where observed, black (0) where missing",
            advice="use invert=True if it is the other way round",
        )
    if observed.all():
        warnings.warn(
            f"by the mask {path} every place is observed: nothing is missing.", stacklevel=3
        )
    return observed.astype(np.float32)


def _mask_values(path: Path) -> NDArray[np.float64]:
    """The brightness of each place, in [0, 1]."""
    if not path.exists():
        raise BadImage(f"{path} does not exist.")
    if path.suffix.lower() in (".npy", ".npz"):
        values = np.squeeze(_only_array(path))
        full = _full_scale(values)
    else:
        try:
            image = decoded(path)
        except Unreadable as error:
            raise BadImage(str(error)) from error
        alpha = _transparent(image)
        if alpha is not None:
            return np.asarray(alpha, dtype=np.float64) / 255
        values = array(image if image.mode.startswith("I;16") else image.convert("L"))[0]
        full = 65535.0 if values.dtype == np.uint16 else 255.0
    if (
        values.ndim != 2
        or (not np.issubdtype(values.dtype, np.number) and values.dtype != bool)
        or np.iscomplexobj(values)
    ):
        raise BadImage(
            f"the mask {path}",
            given=f"{values.dtype} values of shape {values.shape}",
            expected="one number a place, (height, width)",
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > full:
        raise BadImage(
            f"the mask {path}",
            given=f"values in [{values.min():g}, {values.max():g}]",
            expected=f"0 and 1, or 0 to {full:g}",
        )
    return values if values.max() <= 1 else values / full


def _only_array(path: Path) -> NDArray[Any]:
    """The array of an npy file, or the only one of an npz file."""
    try:
        found: NDArray[Any] | np.lib.npyio.NpzFile[Any] = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            return found
        with found as arrays:
            if len(arrays.files) != 1:
                raise BadImage(
                    f"the mask {path}",
                    given=f"{len(arrays.files)} arrays ({', '.join(arrays.files)})",
                    expected="one array",
                )
            return arrays[arrays.files[0]]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BadImage(f"{path} is truncated, or no npy or npz file of numbers: {error}") from error


def _full_scale(values: NDArray[Any]) -> float:
    """What stands for white in an array: the largest number of its type, 1, or, where there are two
    values only, 0 and 255 (or 65535), the larger.
    """
    full = {"uint8": 255.0, "uint16": 65535.0}.get(values.dtype.name, 1.0)
    if np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values) and values.size:
        most = float(values.max())
        if most in (255.0, 65535.0) and bool(np.isin(values, (0, most)).all()):
            return most
    return full


def _transparent(image: Any) -> Any | None:
    """The alpha channel of a picture with transparent places; None for one without: whose places
    are all opaque, or nearly (a translucent picture).
    """
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return alpha if alpha.getextrema()[0] < 128 else None
