"""Images from folders, and images into files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft.data.arrays import Arrays, Range, convert_range, to_uint8
from deft.data.ct import Slices, holds_slices
from deft.data.nifti import holds_nifti, open_nifti
from deft.errors import BadImage, InvalidInput
from deft.storage import pictures
from deft.storage.atomic import atomic
from deft.storage.pictures import SUFFIXES as SUFFIXES

_IN_MEMORY = 1 << 30


@final
class ImageFolder(Dataset[Any]):
    """The images below a folder, in the order of their names, as tensors (channels, height, width)
    in `value_range`.

    Integers 0..255 (0..65535 in 16-bit files) are mapped to `value_range`; orientation tags are
    followed. `convert` turns colours to "grey" or anything to "rgb" (alpha is dropped);
    `fit="resize"` scales an image until it covers `event_shape` and cuts the middle out,
    `fit="crop"` cuts without scaling. Neither happens unasked.

    Sub-folders count, hidden ones do not; one file in place of a folder is one image. Files that
    cannot be decoded are skipped with one warning, or fatal with `strict`; their names are in
    `skipped`. Raises `BadImage` for a folder without images, and for an image with a wrong number
    of channels or size.
    """

    def __init__(
        self,
        folder: str | Path,
        event_shape: Sequence[int],
        value_range: Range = (-1.0, 1.0),
        *,
        convert: str | None = None,
        fit: str | None = None,
        strict: bool = False,
    ) -> None:
        if len(event_shape) != 3:
            raise InvalidInput(
                f"images have an event shape (channels, height, width); got {tuple(event_shape)}."
            )
        if convert not in (None, "rgb", "grey") or fit not in (None, "resize", "crop"):
            raise InvalidInput(
                f"convert is 'rgb' or 'grey' and fit is 'resize' or 'crop'; got {convert!r} and "
                f"{fit!r}."
            )
        self.folder, self.event_shape, self.value_range = (
            Path(folder),
            tuple(event_shape),
            value_range,
        )
        self.convert, self.fit = convert, fit
        self.files: list[Path] = []
        self.skipped: list[Path] = []
        self._decoded: list[np.ndarray] | None = []
        self._needed: set[str] = set()
        self._scan(strict)

    @property
    def idle(self) -> list[str]:
        """Which of `convert` and `fit` were given and had nothing to do: every image is as the
        prior takes it already.
        """
        return [
            name
            for name, given in (("convert", self.convert), ("fit", self.fit))
            if given is not None and name not in self._needed
        ]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        pixels = self._decode(self.files[i]) if self._decoded is None else self._decoded[i]
        full = 65535.0 if pixels.dtype == np.uint16 else 255.0
        return convert_range(
            torch.from_numpy(pixels.astype(np.float32)), (0.0, full), self.value_range
        )

    def _scan(self, strict: bool) -> None:
        """Decode every file once: unreadable ones are found now, and what fits into memory stays
        there.
        """
        found = pictures.found(self.folder, "images")
        alone = self.folder.is_file()
        self.folder = self.folder.parent if alone else self.folder
        brightest, size, reasons = 0, 0, []
        for path in found:
            try:
                pixels = self._decode(path)
            except pictures.Unreadable as error:
                if alone or strict:
                    more = "" if alone else " To skip such files: strict=False."
                    raise BadImage(f"{error}{more}") from error
                self.skipped.append(path)
                reasons.append(str(error))
                continue
            self.files.append(path)
            size += pixels.nbytes
            brightest = max(brightest, int(pixels.max()) if pixels.dtype == np.uint16 else 65535)
            if self._decoded is not None:
                self._decoded.append(pixels)
                if size > _IN_MEMORY:
                    self._decoded = None
        if not self.files:
            raise BadImage(
                f"none of the {len(found)} images in {self.folder} can be read; the first: "
                f"{reasons[0]}"
            )
        if self.skipped:
            names = ", ".join(p.name for p in self.skipped[:5]) + (
                ", ..." if len(self.skipped) > 5 else ""
            )
            warnings.warn(
                f"skipped {len(self.skipped)} of {len(found)} images that cannot be read: "
                f"{names}. {reasons[0]}",
                stacklevel=3,
            )

        pictures.warn_if_dark(brightest, f"the 16-bit images in {self.folder}")

    def _decode(self, path: Path) -> np.ndarray:
        """(channels, height, width), uint8 or uint16."""
        wanted = self.event_shape[0]
        found = pictures.decoded(path)
        upright = pictures.with_channels(path, found, wanted, self.convert)
        fitting = self._with_size(path, upright)
        self._needed |= {
            name
            for name, changed in (
                ("convert", upright.mode != found.mode),
                ("fit", fitting.size != found.size),
            )
            if changed
        }
        return pictures.array(fitting, wanted)

    def _with_size(self, path: Path, image):  # type: ignore[no-untyped-def]
        from PIL import Image, ImageOps

        height, width = self.event_shape[1:]
        if image.size == (width, height):
            return image
        given = (
            f"{path} is {image.height} x {image.width} (height x width) and the prior takes "
            f"{height} x {width}"
        )
        if self.fit is None:
            raise BadImage(
                f"{given}; use fit='resize' (scale, then cut the middle out) or fit='crop' (cut "
                "without scaling)."
            )
        if self.fit == "resize":
            return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
        if image.width < width or image.height < height:
            raise BadImage(f"{given}; it is too small for fit='crop', use fit='resize'.")
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))


def open_images(
    path: str | Path,
    event_shape: Sequence[int],
    value_range: Range = (-1.0, 1.0),
    *,
    convert: str | None = None,
    fit: str | None = None,
    strict: bool = False,
    values: Range | None = None,
    window: str | Range | None = None,
    default_window: Range | None = None,
    key: str | None = None,
    series: str | None = None,
    slice: str | None = None,
) -> Dataset[Any]:
    """The images at a path: a folder of image files, or an array in an npy or npz file (`values`:
    the range of its floating-point values).

    CT slices are in Hounsfield units, and `window` (deft.data.ct) says what the prior's range means
    in them: DICOM files, a folder of LoDoPaB-CT, and, where `window` is given, arrays (n, height,
    width). `default_window` is for DICOM and LoDoPaB-CT, which nothing else can be.
    """
    if slice is not None or holds_nifti(path):
        idle = {"convert": convert, "key": key, "series": series}
        through = (window, default_window)
        return open_nifti(path, event_shape, value_range, slice, values, *through, fit, idle)
    slices = holds_slices(path)
    if slices or window is not None:
        return _slices(
            path,
            event_shape,
            value_range,
            window or default_window,
            slices,
            convert,
            fit,
            values,
            key,
            series,
            strict,
        )
    if series is not None:
        raise InvalidInput(
            "series",
            given=series,
            expected=f"nothing: {path} holds no DICOM series",
            advice="leave `series` out",
        )
    if Path(path).suffix.lower() in (".npy", ".npz"):
        if convert is not None or fit is not None:
            raise InvalidInput(
                f"arrays are neither converted nor resized; {path} must have the prior's shape "
                f"{tuple(event_shape)}."
            )
        try:
            return Arrays.read(path, event_shape, value_range, key=key, values=values)
        except InvalidInput as error:
            if default_window is None:
                raise
            low, high = default_window
            raise InvalidInput(
                f"{error} If these are CT slices in Hounsfield units, say so with the window: "
                f"[{low:g}, {high:g}]."
            ) from error
    for name, given in (("key", key), ("value_range", values)):
        if given is not None:
            raise InvalidInput(
                name,
                given=given,
                expected=f"nothing: {path} holds pictures, whose whole numbers have their range",
                advice=f"leave `{name}` out",
            )
    return ImageFolder(path, event_shape, value_range, convert=convert, fit=fit, strict=strict)


def _slices(
    path: str | Path,
    event_shape: Sequence[int],
    value_range: Range,
    window: str | Range | None,
    slices: bool,
    convert: str | None,
    fit: str | None,
    values: Range | None,
    key: str | None,
    series: str | None,
    strict: bool,
) -> Slices:
    if window is None:
        raise InvalidInput(
            f"{path} holds CT slices in Hounsfield units; say with `window` what the prior's "
            "range means in them, such as (-1000, 1500), as on the prior's card."
        )
    if not slices and Path(path).suffix.lower() not in (".npy", ".npz"):
        raise InvalidInput(
            "a window is for CT slices: DICOM or LoDoPaB-CT files, or an npy or npz file in "
            f"Hounsfield units; {path} is neither."
        )
    if convert is not None or fit == "crop" or values is not None:
        raise InvalidInput(
            "CT slices are neither converted nor cropped, and their values are Hounsfield units; "
            f"{path} takes fit='resize' alone."
        )
    if tuple(value_range) != (-1.0, 1.0):
        raise InvalidInput(
            "a window of Hounsfield units is mapped to [-1, 1]; the prior takes "
            f"[{value_range[0]:g}, {value_range[1]:g}]."
        )
    return Slices.open(
        path, event_shape, window, average=fit == "resize", key=key, series=series, strict=strict
    )


def write_png(path: str | Path, image: Tensor, value_range: Range = (-1.0, 1.0)) -> None:
    """One image (1 or 3 channels, height, width) as PNG, written in one step; values beyond the
    range become its ends.
    """
    from PIL import Image

    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InvalidInput(f"a PNG holds (1 or 3, height, width); got {tuple(image.shape)}.")
    pixels = to_uint8(image, value_range).cpu().numpy()
    with atomic(Path(path)) as file:
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(
            file, format="PNG"
        )
