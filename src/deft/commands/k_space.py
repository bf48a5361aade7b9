"""k-space that a command line names, read, with the sensitivities of its coils and what of it is
measured (docs/mri.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft import checks
from deft.commands.inputs import Convert, Range, image_names, unused
from deft.commands.mask_inputs import mask_stack
from deft.data import read_array
from deft.data.nifti import holds_nifti
from deft.errors import BadImage, InvalidInput
from deft.likelihoods import Observation
from deft.operators.base import ForwardOperator
from deft.pipeline.deviations import read_deviations
from deft.pipeline.fourier import FFT
from deft.pipeline.k_space import Scan
from deft.pipeline.scanned import observed, operator_of
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage import pictures

_ARRAYS = (".npy", ".npz")


def observation(
    path: Path,
    prior: Prior,
    problem: Problem,
    usual: ForwardOperator,
    *,
    masks: Path | None,
    sensitivities: Path | None,
    fft: FFT | None,
    sigma_y: float | Path | None,
    convert: Convert | None,
    value_range: Range | None,
    invert_masks: bool,
    key: str | None,
) -> tuple[Observation, list[str]]:
    """Measurements of frequencies from an npy or npz file, or from a folder of them, one for each;
    `usual` is an operator that the problem draws. What is measured is said by `masks`, else by the
    problem where it draws none, else by what is not exactly 0.
    """
    scan = Scan.of(usual, prior, "--")
    unused("with k-space", convert=convert)
    if masks is None and invert_masks:
        unused("without --masks", invert_masks=True)
    y, names = _read(path, scan, key)
    maps = None if sensitivities is None else scan.sensitivities(_only_array(sensitivities), y)
    mask = None if masks is None else mask_stack(masks, names, prior, invert_masks, lines=True)
    operator = operator_of(scan, y, problem, mask, maps, fft)
    factor = None
    if value_range is not None:
        given = checks.finite_range(
            "--value_range", value_range, "the range of the images, in the units of k-space"
        )
        factor = scan.units(given, prior)
    noise = (
        read_deviations("--sigma_y", sigma_y, tuple(y.shape[1:]), len(y))
        if isinstance(sigma_y, Path)
        else sigma_y
    )
    return observed(scan, y, operator, prior, problem, fft=fft, factor=factor, sigma_y=noise), names


def refuse(problem: Problem, sensitivities: Path | None, fft: FFT | None) -> None:
    """Raise where measurements that are no k-space are given options of it."""
    for name, value in (("sensitivities", sensitivities), ("fft", fft)):
        if value is not None:
            raise InvalidInput(
                f"--{name}",
                given=str(value),
                expected=f"nothing: {type(problem).__name__} measures no frequencies",
                advice=f"leave --{name} out, or give --problem MultiCoilMRI or MRI",
            )


def _only_array(path: Path) -> np.ndarray[Any, Any]:
    try:
        return read_array(path)
    except BadImage:
        raise
    except InvalidInput as error:
        raise InvalidInput(
            "--sensitivities",
            given=f"{path}, which holds several arrays",
            expected="an npy file, or an npz file of one array",
        ) from error


def _read(path: Path, scan: Scan, key: str | None) -> tuple[Tensor, list[str]]:
    if holds_nifti(path) or (path.is_file() and path.suffix.lower() not in _ARRAYS):
        raise InvalidInput(
            "--measurements",
            given=str(path),
            expected="k-space: an npy or npz file of complex numbers, or a folder of them",
            advice="a picture is no k-space; measure one with --images",
        )
    if not path.is_dir():
        y = scan.frequencies(read_array(path, key), f"--measurements {path}")
        return y, [f"{i:05d}" for i in range(len(y))]
    if key is not None:
        unused("where measurements are no npz file", key=key)
    files = pictures.found(path, "measurements", _ARRAYS)
    rows = [scan.frequencies(read_array(file), f"--measurements {file}") for file in files]
    for file, row in zip(files, rows):
        if len(row) != 1 or row.shape != rows[0].shape:
            raise InvalidInput(
                f"--measurements {file}",
                given=f"{len(row)} of shape {tuple(row.shape[1:])}",
                expected=f"one of shape {tuple(rows[0].shape[1:])}, as in {files[0].name}",
            )
    return torch.cat(rows), image_names(files, path)
