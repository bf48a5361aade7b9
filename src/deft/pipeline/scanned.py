"""k-space as an observation: centred, in the units of the prior, behind the operator of its scan.

What is measured is said by a mask, else by the problem where it draws none, else by what is not
exactly 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft import checks
from deft.data.arrays import read_array
from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.operators.base import ForwardOperator
from deft.operators.mri import MRI
from deft.operators.multi_coil_mri import MultiCoilMRI
from deft.pipeline.deviations import deviations, with_deviations
from deft.pipeline.fourier import FFT, FORMULAS, centred, centred_mask
from deft.pipeline.k_space import Scan, measured, noise_of
from deft.pipeline.operators import masks
from deft.pipeline.read import Given
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage import mask_files


def operator_of(
    scan: Scan,
    y: Tensor,
    problem: Problem,
    mask: Tensor | None,
    maps: Tensor | None,
    fft: FFT | None,
) -> MRI | MultiCoilMRI:
    """The operator that measured y, which stands with `mask` as `fft` says, and sees by the
    sensitivities `maps`. Raises `InvalidInput` for several coils without them.
    """
    if maps is None and scan.coils:
        raise InvalidInput(
            f"{scan.typed}sensitivities",
            given="nothing",
            expected=f"the sensitivities of the {y.shape[2]} coils of these measurements, complex "
            f"({', '.join(map(str, y.shape[2:]))}), docs/mri.md",
        )
    shared = None if mask is not None else problem.shared_operator(y.new_zeros(1, 2, *scan.size))
    if shared is None:
        where = centred_mask(measured(y) if mask is None else mask, fft)
    else:
        where = shared.mask  # type: ignore[assignment]
    return MRI(where) if maps is None else MultiCoilMRI(where, maps)


def observed(
    scan: Scan,
    y: Tensor,
    operator: MRI | MultiCoilMRI,
    prior: Prior,
    problem: Problem,
    *,
    fft: FFT | None,
    factor: float | None,
    sigma_y: float | Tensor | None,
) -> Observation:
    """The observation of k-space that stands as `fft` says, multiplied by `factor`; None: as it is,
    if that may be. `sigma_y` is in the units of the prior; for each entry, of centred k-space.

    Raises `InvalidInput` where units or convention are visibly other ones.
    """
    y = centred(y, fft) * (1.0 if factor is None else factor)
    level = noise_of(problem, sigma_y)
    if factor is None:
        scan.check_units(y, operator, prior, level)
    scan.check_reading(y, operator, level, fft)
    likelihood = problem.likelihood(operator, y, None if sigma_y is None else level)
    if isinstance(sigma_y, Tensor):
        what = f"{scan.typed}sigma_y"
        if fft not in (None, "centred"):
            raise InvalidInput(
                f"{scan.typed}fft",
                given=fft,
                expected=f"centred, or nothing, beside {what} for each entry",
                advice="save k-space and the standard deviations as "
                f"{FORMULAS['centred']}, or give one number",
            )
        likelihood = with_deviations(what, likelihood, y, sigma_y)
    return Observation(operator.observed(y), likelihood)


def observation_of(
    measurements: object, usual: ForwardOperator, prior: Prior, problem: Problem, given: Given
) -> Observation:
    """The observation of k-space as a user of the pipeline holds it: one scan, a list, or an array
    of several; `usual` is the operator that was given, or one that the problem draws.
    """
    scan = Scan.of(usual, prior)
    for name in ("kernel", "angles", "convert", "slice"):
        if getattr(given, name) is not None:
            raise InvalidInput(
                name, given=f"{name} beside k-space", expected="nothing", advice="leave it out"
            )
    if given.fft not in (None, *FORMULAS):
        raise InvalidInput("fft", given=given.fft, expected=f"one of {', '.join(FORMULAS)}")
    fft: FFT | None = given.fft
    each = measurements if isinstance(measurements, (list, tuple)) else [measurements]
    rows = [scan.frequencies(_array("measurements", one)) for one in each]
    if not rows or len({row.shape[1:] for row in rows}) > 1:
        raise InvalidInput(
            "measurements",
            given=f"{len(rows)} of several shapes" if rows else "an empty list",
            expected="scans of one shape",
        )
    y = torch.cat(rows)
    if given.operator is not None:
        for name in ("mask", "sensitivities"):
            if getattr(given, name) is not None:
                raise InvalidInput(name, given=f"{name} beside operator", expected="one of the two")
        operator: MRI | MultiCoilMRI = usual.take(range(usual.signals)).cpu()  # type: ignore[assignment]
        if operator.measurement_shape() != tuple(y.shape[1:]):
            raise InvalidInput(
                "measurements",
                given=f"shape {tuple(y.shape[1:])}",
                expected=f"{operator.measurement_shape()}, what the operator measures",
            )
    else:
        maps = given.sensitivities
        mapped = None if maps is None else scan.sensitivities(_array("sensitivities", maps), y)
        mask = None if given.mask is None else _mask(scan, given.mask, given.invert_mask)
        operator = operator_of(scan, y, problem, mask, mapped, fft)
    if operator.signals not in (1, len(y)):
        raise InvalidInput(
            "measurements",
            given=f"{len(y)} of them",
            expected=f"{operator.signals}, as many as there are masks and sensitivities",
        )
    factor = None
    if given.value_range is not None:
        said = checks.finite_range(
            "value_range", given.value_range, "the range of the images, in the units of k-space"
        )
        factor = scan.units(said, prior)
    sigma_y: float | Tensor | None = None
    if getattr(given.sigma_y, "ndim", 0) > 1:
        entries = deviations("sigma_y", given.sigma_y, tuple(y.shape[1:]), len(y))  # type: ignore[arg-type]
        sigma_y = (factor or 1.0) * entries
    elif given.sigma_y is not None:
        level = checks.non_negative(
            "sigma_y", given.sigma_y, "the standard deviation of the noise in units of k-space"
        )
        sigma_y = (factor or 1.0) * level
    found = observed(scan, y, operator, prior, problem, fft=fft, factor=factor, sigma_y=sigma_y)
    return found.to(prior.device)


def _array(what: str, value: object) -> np.ndarray[Any, Any]:
    if isinstance(value, (str, Path)):
        return read_array(Path(value).expanduser())
    if isinstance(value, Tensor):
        return value.detach().cpu().resolve_conj().numpy()
    if isinstance(value, np.ndarray):
        return value
    raise InvalidInput(
        what, given=type(value).__name__, expected="complex numbers: an array, a tensor, or a path"
    )


def _mask(scan: Scan, mask: object, invert: bool) -> Tensor:
    """(n or 1, 1, height, width), of masks or of columns, (width,)."""
    if isinstance(mask, (str, Path)):
        found = mask_files.mask(mask, invert, rows=scan.size[0])[None]
    else:
        value = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = np.repeat(value[None], scan.size[0], axis=0)
        found = masks(value, invert)
    if found.shape[1:] != scan.size:
        raise InvalidInput(
            "mask",
            given=" x ".join(map(str, found.shape[1:])) + " (height x width)",
            expected=" x ".join(map(str, scan.size)) + ", or (width,), the size of k-space",
        )
    return torch.from_numpy(found)[:, None]
