"""The measurements that a command line names, read, with their masks.

A measurement is checked against what the problem measures, and its values against the range of the
prior.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deft import checks
from deft.commands import k_space
from deft.commands.inputs import Convert, Range, image_names, unused
from deft.commands.mask_inputs import mask_stack
from deft.commands.measured_shapes import check_shapes
from deft.data import convert_range, read_array
from deft.data.arrays import INTEGERS
from deft.data.nifti import holds_nifti, read_volumes
from deft.errors import BadImage, InvalidInput
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.inpainting import Inpainting
from deft.pipeline.deviations import read_deviations, with_deviations
from deft.pipeline.fourier import FFT
from deft.pipeline.k_space import has_frequencies
from deft.pipeline.measured import keeps_range
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage import pictures


def observation(
    path: Path,
    prior: Prior,
    problem: Problem,
    *,
    masks: Path | None,
    sigma_y: float | Path | None,
    convert: Convert | None,
    value_range: Range | None,
    strict: bool,
    invert_masks: bool = False,
    key: str | None = None,
    slice: str | None = None,
    sensitivities: Path | None = None,
    fft: FFT | None = None,
) -> tuple[Observation, list[str]]:
    """Measurements from files: an npy or npz file (n, ...), one picture, or a folder of npy files
    or pictures, one for each; masks by the same names, or one for all. `sensitivities` and `fft`
    are for k-space.
    """
    usual = problem.operator(torch.zeros(1, *prior.signal_shape), Noise([0]))
    if has_frequencies(usual):
        return k_space.observation(
            path,
            prior,
            problem,
            usual,
            masks=masks,
            sensitivities=sensitivities,
            fft=fft,
            sigma_y=sigma_y,
            convert=convert,
            value_range=value_range,
            invert_masks=invert_masks,
            key=key,
        )
    k_space.refuse(problem, sensitivities, fft)
    if holds_nifti(path):
        found = read_volumes(path, slice)
        each = [(name, one) for name, slices in found.items() for one in slices]
        rows = [_in_range(one.values, prior, value_range) for _, one in each]
        names = [f"{name}-{one.axis}-{one.number}" for name, one in each]
        names = names if len(names) > 1 else ["00000"]
    else:
        unused("where measurements are no NIfTI file", slice=slice)
        rows, names = _measurements(path, prior, problem, convert, value_range, strict, key)
    like = torch.zeros(len(rows), *prior.signal_shape)
    if masks is not None and not isinstance(usual, Inpainting):
        raise InvalidInput(
            "--masks",
            given=str(masks),
            expected=f"nothing: {type(problem).__name__} has no masks",
            advice="leave --masks out, or give an h-transform or --problem for inpainting",
        )
    if masks is None and invert_masks:
        unused("without --masks", invert_masks=True)
    if masks is not None:
        check_shapes(rows, names, tuple(prior.signal_shape), pictures=True)
    operator: ForwardOperator = (
        Inpainting(mask_stack(masks, names, prior, invert_masks))
        if masks is not None
        else _shared(problem, like)
    )
    expected = tuple(operator(like).shape[1:])
    rows = [
        row[None] if expected[0] == 1 and tuple(row.shape) == expected[1:] else row for row in rows
    ]  # one channel may be left out
    check_shapes(rows, names, expected, pictures=expected == tuple(prior.signal_shape))
    for place, (name, row) in enumerate(zip(names, rows)):
        if not bool(
            torch.isfinite(
                operator.take([place]).observed(row[None]) if masks is None else row[None]
            ).all()
        ):
            raise InvalidInput(
                f"the measurement {name} holds NaN or infinite values; mend it, or take it away."
            )
    said = None
    if isinstance(sigma_y, Path):
        said = read_deviations("--sigma_y", sigma_y, expected, len(rows))
        sigma_y = float(said[said.isfinite()].clamp(min=0).max()) if said.isfinite().any() else 0.0
    level = problem.sigma_y if sigma_y is None else sigma_y
    if isinstance(level, tuple):
        raise InvalidInput(
            f"the problem draws sigma_y between {level[0]:g} and {level[1]:g}; say that of these "
            "measurements with --sigma_y."
        )
    y = torch.stack(rows)
    likelihood = problem.likelihood(operator, y, sigma_y)
    if said is not None:
        likelihood = with_deviations("--sigma_y", likelihood, y, said)
    if value_range is None:
        _check_range(y, operator, prior, level)
    return Observation(operator.observed(y), likelihood), names


def _measurements(
    path: Path,
    prior: Prior,
    problem: Problem,
    convert: Convert | None,
    value_range: Range | None,
    strict: bool,
    key: str | None,
) -> tuple[list[Tensor], list[str]]:
    if value_range is not None:
        value_range = checks.finite_range(
            "--value_range", value_range, "the range of the values in --measurements"
        )
    if path.suffix.lower() in _ARRAYS and not path.is_dir():
        if convert is not None:
            unused("with an npy or npz file", convert=convert)
        array = read_array(path, key)
        if array.ndim == 0 or len(array) == 0:
            raise InvalidInput(
                f"--measurements {path}",
                given=f"an array of shape {array.shape}",
                expected="(n, ...), one row for each measurement",
            )
        if value_range is not None and array.dtype.name in INTEGERS:
            unused("with whole numbers, which run over their type", value_range=value_range)
        _warn_if_dark([array], path)
        return [_in_range(row, prior, value_range) for row in array], [
            f"{i:05d}" for i in range(len(array))
        ]
    if key is not None:
        unused("where measurements are no npz file", key=key)
    files = pictures.found(path, "measurements", (*_ARRAYS, *pictures.SUFFIXES))
    found, skipped = {}, []
    channels = _channels(problem, prior)
    for file in files:
        try:
            found[file] = (
                read_array(file)
                if file.suffix.lower() in _ARRAYS
                else _pixels(file, channels, convert)
            )
        except (BadImage, pictures.Unreadable) as error:
            if (
                strict
                or len(files) == 1
                or (isinstance(error, BadImage) and file.suffix.lower() not in _ARRAYS)
            ):
                raise BadImage(str(error)) from error
            skipped.append(str(error))
    if not found:
        raise BadImage(
            f"none of the {len(files)} measurements in {path} can be read; the first: {skipped[0]}"
        )
    if skipped:
        warnings.warn(
            f"skipped {len(skipped)} of {len(files)} measurements that cannot be read: "
            f"{' '.join(skipped[:5])}",
            stacklevel=2,
        )
    rows = [_in_range(content, prior, value_range) for content in found.values()]
    _warn_if_dark(list(found.values()), path)
    if value_range is not None and all(
        content.dtype.name in INTEGERS for content in found.values()
    ):
        unused("with whole numbers, which run over their type", value_range=value_range)
    return rows, image_names(list(found), path if path.is_dir() else path.parent)


def _warn_if_dark(arrays: Sequence[np.ndarray], path: Path) -> None:
    deep = [int(array.max()) for array in arrays if array.dtype == np.uint16 and array.size]
    if deep and len(deep) == len(arrays):
        pictures.warn_if_dark(max(deep), f"the 16-bit measurements in {path}")


_ARRAYS = (".npy", ".npz")


def _channels(problem: Problem, prior: Prior) -> int:
    """How many channels a measurement has that is a picture: one, where grey is seen of colours."""
    like = torch.zeros(1, *prior.signal_shape)
    shape = problem.operator(like, Noise([0]))(like).shape[1:]
    return int(shape[0] if len(shape) == 3 else prior.signal_shape[0])


def _pixels(file: Path, wanted: int, convert: Convert | None) -> np.ndarray:
    """(channels, height, width), with as many channels as the problem measures."""
    if wanted not in (1, 3):
        raise BadImage(
            f"{file} is a picture, and the measurements have {wanted} channels; use an npy file."
        )
    image = pictures.decoded(file)
    if image.mode == "RGB" and wanted == 1 and convert is None:
        raise BadImage(
            f"{file} is an image of mode RGB, and the measurements have 1 channel; use "
            "convert='grey', or an npy file."
        )
    return pictures.array(pictures.with_channels(file, image, wanted, convert), wanted)


def _in_range(array: np.ndarray, prior: Prior, value_range: Range | None) -> Tensor:
    """A measurement in the prior's range: whole numbers run over their type, floating-point ones
    over `value_range`, if that is given.
    """
    kind = array.dtype.name
    if kind not in INTEGERS and not np.issubdtype(array.dtype, np.floating):
        raise InvalidInput(
            f"a measurement holds floating-point, uint8 or uint16 values; got {kind}."
        )
    given = INTEGERS.get(kind, value_range)
    y = torch.from_numpy(np.array(array, dtype=np.float32))
    return y if given is None else convert_range(y, given, prior.value_range or (-1.0, 1.0))


def _check_range(y: Tensor, operator: ForwardOperator, prior: Prior, sigma_y: float) -> None:
    """Raise where measurements are visibly not in the prior's range, if the operator keeps it, as
    averages and masks do.
    """
    if prior.value_range is None or not keeps_range(operator, prior):
        return
    low, high = prior.value_range
    least, most, slack = float(y.min()), float(y.max()), 0.25 * (high - low) + 6 * sigma_y
    if least < low - slack or most > high + slack or (low < 0 <= least and len(y) > 1):
        theirs = "[0,1]" if most <= 1 + slack else "[0,255]"
        raise InvalidInput(
            f"the measurements have values in [{least:g}, {most:g}] and {prior.name} takes "
            f"[{low:g}, {high:g}]; say their range: --value_range {theirs} "
            f"converts them, --value_range [{low:g},{high:g}] takes them as they are."
        )


def _shared(problem: Problem, like: Tensor) -> ForwardOperator:
    """The operator of a problem that has only one. Raises where it is drawn at random."""
    found = problem.shared_operator(like)
    if found is None:
        raise InvalidInput(
            f"{type(problem).__name__} draws its operator at random, so that a measurement from a "
            "file needs to say its own: give --masks for inpainting, another --problem whose "
            "operator is fixed, or operator= of deft.load(...)(y) in Python."
        )
    return found
