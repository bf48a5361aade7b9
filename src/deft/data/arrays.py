"""Arrays of signals, value ranges, and what samples are written as.

x' = low' + (x - low) (high' - low') / (high - low)
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft import checks
from deft.errors import BadImage, InvalidInput
from deft.storage import pictures
from deft.storage.atomic import atomic

Range = tuple[float, float]

_PICKLES = re.compile("pickle|Python objects")
INTEGERS: dict[str, Range] = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}


def convert_range(x: Tensor, given: Range, wanted: Range) -> Tensor:
    """Values in the range `given`, mapped linearly to the range `wanted`; integers become floating
    point.
    """
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    return (
        x
        if given == wanted
        else wanted[0] + (x - given[0]) * ((wanted[1] - wanted[0]) / (given[1] - given[0]))
    )


def to_uint8(images: Tensor, value_range: Range) -> Tensor:
    """Images in `value_range` as integers 0..255, rounded; values beyond the range become its
    ends.
    """
    return (
        convert_range(images.detach().float(), value_range, (0.0, 255.0))
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
    )


@final
class Arrays(Dataset[Any]):
    """Signals from an array (n, *event_shape), converted to the prior's range.

    Integers (uint8, uint16) run over their whole type and are mapped to `value_range`.
    Floating-point arrays say their own range with `values`; without it they must be in
    `value_range` already, visibly. `channels_last` takes (n, height, width, channels). One channel
    may be left out of the shape; complex numbers (n, *space) are two channels, real and imaginary.

    Raises `InvalidInput` where shape or range do not fit.
    """

    def __init__(
        self,
        array: np.ndarray | Tensor,
        event_shape: Sequence[int],
        value_range: Range | None,
        *,
        values: Range | None = None,
        channels_last: bool = False,
    ) -> None:
        array = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
        self.array = _parts(array) if array.dtype.kind == "c" else array
        self.event_shape, self.value_range, self.channels_last = (
            tuple(event_shape),
            value_range,
            channels_last,
        )
        self._check_shape()
        if value_range is not None:
            self.value_range = checks.finite_range(
                "value_range", value_range, "the range of the prior's signals"
            )
        if values is not None:
            values = checks.finite_range(
                "value_range", values, "the range that the values of the array are in"
            )
        self.values = self._given_range(values)

    @classmethod
    def read(
        cls,
        path: str | Path,
        event_shape: Sequence[int],
        value_range: Range | None,
        *,
        key: str | None = None,
        values: Range | None = None,
        channels_last: bool = False,
    ) -> Arrays:
        """The array in an npy file, or in an npz file under `key` (which may be left out where
        there is only one).
        """
        array = read_array(path, key)
        try:
            return cls(array, event_shape, value_range, values=values, channels_last=channels_last)
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {error}") from None

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, i: int) -> Tensor:
        x = torch.from_numpy(np.array(self.array[i]).astype(np.float32))
        x = (x.movedim(-1, 0) if self.channels_last else x).reshape(self.event_shape)
        return (
            x
            if self.values is None or self.value_range is None
            else convert_range(x, self.values, self.value_range)
        )

    def _check_shape(self) -> None:
        if self.array.ndim == 0 or len(self.array) == 0:
            raise InvalidInput(f"the array holds no signals; its shape is {self.array.shape}.")
        given, wanted = self.array.shape[1:], self.event_shape
        if self.channels_last:
            given = given[-1:] + given[:-1]
        if given == wanted or (wanted[0] == 1 and given == wanted[1:]):
            return
        hint = (
            "; pass channels_last=True"
            if not self.channels_last and given[-1:] + given[:-1] == wanted
            else ""
        )
        raise InvalidInput(
            f"the array has shape {self.array.shape}; expected (n, "
            f"{', '.join(map(str, wanted))}){hint}."
        )

    def _given_range(self, values: Range | None) -> Range | None:
        """The range that the array's values are in; None: the prior's own."""
        kind = self.array.dtype.name
        if kind in INTEGERS:
            if self.value_range is None:
                raise InvalidInput(
                    f"{kind} values cannot be mapped: the prior says no value range. Convert them "
                    "to floating point yourself."
                )
            if values is not None:
                _check_within(_extremes(self.array), values, "the range that was said is")
            elif kind == "uint16":
                pictures.warn_if_dark(int(_extremes(self.array)[1]), "the 16-bit array")
            return values or INTEGERS[kind]
        if not np.issubdtype(self.array.dtype, np.floating):
            raise InvalidInput(
                f"expected floating point, uint8 or uint16 values; got {kind}. Hounsfield units "
                "need a `window`."
            )
        low, high = _extremes(self.array)
        if not np.isfinite([low, high]).all():
            raise InvalidInput("the array holds NaN or infinite values.")
        if values is not None:
            _check_within((low, high), values, "the range that was said is")
            return values
        if self.value_range is None:
            return None
        _check_within((low, high), self.value_range, "the prior takes")
        if self.value_range[0] < 0 <= low and len(self.array) > 1:
            raise InvalidInput(
                f"no value is negative (they are in [{low:g}, {high:g}]) and the prior takes "
                f"{_show(self.value_range)}; "
                "say their range (`values`): [0,1] converts them, "
                f"[{self.value_range[0]:g},{self.value_range[1]:g}] takes them as they are."
            )
        return None


def _parts(array: np.ndarray) -> np.ndarray:
    """(n, ...) of complex numbers as (n, 2, ...), real and imaginary: a view where that is
    possible.
    """
    if not array.ndim:
        return array.real
    whole = np.ascontiguousarray(array)
    return np.moveaxis(whole.view(whole.real.dtype).reshape(*array.shape, 2), -1, 1)


def read_array(path: str | Path, key: str | None = None) -> np.ndarray:
    """The array in an npy file (mapped, not read) or in an npz file. Raises `BadImage` where the
    file is damaged or holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise BadImage(f"{path} does not exist.")
    try:
        found = np.load(
            path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False
        )
        if isinstance(found, np.ndarray):  # whatever its name says
            if key is not None:
                raise InvalidInput(
                    "key",
                    given=key,
                    expected=f"nothing: {path} holds one array",
                    advice="leave `key` out",
                )
            return found
        with found as arrays:
            names = list(arrays.files)
            if not names:
                raise BadImage(f"{path} holds no array.")
            if key is None and len(names) != 1:
                raise InvalidInput(
                    f"{path} holds {len(names)} arrays ({', '.join(names)}); say which with "
                    f"key={names[0]!r}, say."
                )
            if key is not None and key not in names:
                raise InvalidInput(f"{path} holds no array {key!r}; it holds {', '.join(names)}.")
            result: np.ndarray = arrays[key or names[0]]
            return result
    except PermissionError as error:
        raise BadImage(f"{path} cannot be read: permission denied.") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError, zlib.error) as error:
        if isinstance(error, InvalidInput):
            raise
        said = (
            "it holds Python objects, or is no npy file at all; objects are never loaded"
            if _PICKLES.search(str(error))
            else str(error)
        )
        raise BadImage(f"{path} is truncated, or no npy or npz file of numbers: {said}") from error


def write_npz(path: str | Path, arrays: Mapping[str, Tensor | np.ndarray]) -> None:
    """Named arrays in one compressed npz file, written in one step."""
    plain = {
        name: value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        for name, value in arrays.items()
    }
    with atomic(Path(path)) as file:
        np.savez_compressed(file, allow_pickle=False, **plain)


def _extremes(array: np.ndarray) -> Range:
    """The least and the greatest value, read in pieces; NaN passes through."""
    parts = [array[i : i + 1024] for i in range(0, len(array), 1024)]
    return float(min(np.min(p) for p in parts)), float(max(np.max(p) for p in parts))


def _check_within(seen: Range, allowed: Range, who: str) -> None:
    slack = 1e-3 * (allowed[1] - allowed[0])
    if seen[0] >= allowed[0] - slack and seen[1] <= allowed[1] + slack:
        return
    looks = next(
        (
            r
            for r in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
            if r != allowed and r[0] <= seen[0] and seen[1] <= r[1]
        ),
        seen,
    )
    raise InvalidInput(
        f"the values are in {_show(seen)} and {who} {_show(allowed)}; say the range that they are "
        f"in (`values`), such as [{looks[0]:g},{looks[1]:g}], to convert them."
    )


def _show(r: Range) -> str:
    return f"[{r[0]:g}, {r[1]:g}]"
