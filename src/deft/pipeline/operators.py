"""The operator behind a user's measurements, from what the user says of it: nothing, a mask, a
kernel, angles, or the operator itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.blur import CircularBlur, ReflectBlur
from deft.operators.inpainting import Inpainting
from deft.operators.mri import MRI
from deft.operators.nonlinear_blur import NonlinearBlur
from deft.priors.base import Prior
from deft.problems import Problem, Tomography
from deft.storage import mask_files


def operator_of(
    prior: Prior,
    problem: Problem,
    *,
    operator: object = None,
    mask: object = None,
    kernel: object = None,
    angles: object = None,
    invert_mask: bool = False,
) -> ForwardOperator:
    """The operator that measured, by what is said of it; the problem's own, where nothing is and it
    draws none.

    Raises `InvalidInput` where more than one thing is said, for what the problem has no use for,
    and where the problem draws its operator.
    """
    said = {"operator": operator, "mask": mask, "kernel": kernel, "angles": angles}
    given = [name for name, value in said.items() if value is not None]
    if len(given) > 1:
        raise InvalidInput(
            given[1],
            given=f"{given[1]} beside {given[0]}",
            expected="one of operator, mask, kernel and angles",
            advice=f"leave `{given[1]}` out",
        )
    if invert_mask and mask is None:
        raise InvalidInput("invert_mask", given=True, expected="False without a mask")
    if operator is not None:
        if not isinstance(operator, ForwardOperator):
            raise InvalidInput(
                "operator",
                given=type(operator).__name__,
                expected="a deft.operators.ForwardOperator",
                advice="wrap a function in deft.operators.CallableOperator",
            )
        return operator
    if mask is not None:
        return _masked(prior, problem, mask, invert_mask)
    if kernel is not None:
        return _blurred(prior, problem, kernel)
    if angles is not None:
        return _scanned(prior, problem, angles)
    return _shared(prior, problem)


def drawn(prior: Prior, problem: Problem) -> ForwardOperator:
    """An operator of the problem, for one signal."""
    x_0 = torch.zeros(1, *prior.signal_shape, device=prior.device)
    return problem.operator(x_0, Noise([0]))


def _masked(prior: Prior, problem: Problem, mask: object, invert: bool) -> ForwardOperator:
    usual = drawn(prior, problem)
    if type(usual) not in (Inpainting, MRI):
        raise _no_use("mask", problem)
    stack = torch.from_numpy(masks(mask, invert))[:, None]
    wanted = tuple(prior.signal_shape[1:])
    if tuple(stack.shape[2:]) != wanted:
        raise InvalidInput(
            "mask",
            given=" x ".join(map(str, stack.shape[2:])) + " (height x width)",
            expected=" x ".join(map(str, wanted)) + ", the size of the signal",
            advice="resize it without smoothing (nearest neighbour)",
        )
    return type(usual)(stack)  # type: ignore[call-arg]


def masks(mask: object, invert: bool) -> np.ndarray[Any, Any]:
    """Masks (n, height, width), 1 where observed, from a path, a picture, an array, or a list of
    these, one for each measurement.
    """
    if isinstance(mask, (list, tuple)):
        return np.concatenate([masks(one, invert) for one in mask])
    if isinstance(mask, (str, Path)):
        return mask_files.mask(mask, invert)[None]
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu().numpy()
    if isinstance(mask, np.ndarray):
        if mask.ndim == 4 and mask.shape[1] == 1:
            mask = mask[:, 0]
        every = mask[None] if mask.ndim == 2 else mask
        if every.ndim != 3 or not len(every):
            raise InvalidInput(
                "mask",
                given=f"an array of shape {mask.shape}",
                expected="(height, width), or (n, height, width), one for each measurement",
            )
        return np.stack([mask_files.mask_of(one, invert) for one in every])
    if hasattr(mask, "getbands"):  # a picture of Pillow
        return mask_files.mask_of(mask, invert)[None]
    raise InvalidInput(
        "mask",
        given=type(mask).__name__,
        expected="a picture, an array, a path, or a list of these; 1 or white where observed",
    )


def _blurred(prior: Prior, problem: Problem, kernel: object) -> ForwardOperator:
    usual = drawn(prior, problem)
    if type(usual) not in (CircularBlur, ReflectBlur, NonlinearBlur):
        raise _no_use("kernel", problem)
    found = torch.as_tensor(_numbers("kernel", kernel, "(height, width) or (n, height, width)"))
    whole = not found.is_floating_point()
    found = found.to(prior.dtype)
    if found.ndim == len(prior.signal_shape) - 1:
        found = found[None]
    if whole:  # of a picture: brightness, not weights
        total = found.flatten(1).sum(1).clamp(min=1e-12)
        found = found / total.reshape(-1, *(1,) * (found.ndim - 1))
    if type(usual) is NonlinearBlur:
        border = "circular" if type(usual.blur) is CircularBlur else "reflect"
        return NonlinearBlur(found, usual.exposure, border, usual.value_range)
    return type(usual)(found)  # type: ignore[call-arg]


def _scanned(prior: Prior, problem: Problem, angles: object) -> ForwardOperator:
    scan = getattr(problem, "scanned", None)
    if scan is None:
        raise _no_use("angles", problem)
    degrees = torch.as_tensor(_numbers("angles", angles, "degrees, (views,) or (n, views)"))
    found: ForwardOperator = scan(prior.signal_shape[1:], degrees)
    return found


def _numbers(what: str, value: object, expected: str) -> np.ndarray[Any, Any]:
    """Numbers of an array, a tensor, a list or a picture."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    kinds = (np.ndarray, list, tuple)
    found = np.asarray(value) if isinstance(value, kinds) or hasattr(value, "getbands") else None
    if found is None or found.dtype.kind not in "iuf" or not found.size:
        given = type(value).__name__ if found is None else f"values of {found.dtype}"
        raise InvalidInput(what, given=given, expected=f"numbers, {expected}")
    return found.astype(np.float64) if found.dtype.kind == "f" else found.astype(np.int64)


def _no_use(what: str, problem: Problem) -> InvalidInput:
    return InvalidInput(
        what,
        given=f"a {what}" if what != "angles" else "angles",
        expected=f"nothing: {type(problem).__name__} has no {what}",
        advice=f"leave `{what}` out, or load an h-transform for such measurements",
    )


def _shared(prior: Prior, problem: Problem) -> ForwardOperator:
    """The problem's, where it is the same whatever the seed."""
    found = problem.shared_operator(torch.zeros(1, *prior.signal_shape, device=prior.device))
    if found is None:
        raise InvalidInput(
            "operator",
            given="nothing",
            expected=f"the operator that measured y: {type(problem).__name__} draws one for each "
            "signal",
            advice=_HOW[_kind(drawn(prior, problem), problem)],
        )
    return found


def needed(prior: Prior, problem: Problem) -> str:
    """What must be said of a measurement: "mask", "kernel", "angles" or "operator"; empty where the
    problem draws none of them.
    """
    if problem.shared_operator(torch.zeros(1, *prior.signal_shape, device=prior.device)) is None:
        return _kind(drawn(prior, problem), problem)
    return ""


_HOW = {
    "mask": "give mask=, a picture or an array that is white (1) where y was observed",
    "kernel": "give kernel=, the blur kernel of these measurements",
    "angles": "give angles=, those of the scan in degrees",
    "operator": "give operator=, such as deft.operators.Inpainting(mask)",
}


def _kind(operator: ForwardOperator, problem: Problem) -> str:
    if type(operator) in (Inpainting, MRI):
        return "mask"
    if type(operator) in (CircularBlur, ReflectBlur, NonlinearBlur):
        return "kernel"
    return "angles" if type(problem) is Tomography else "operator"


def size_of(operator: ForwardOperator, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of one measurement of signals of this shape."""
    device = next((b.device for b in operator.buffers()), torch.device("cpu"))
    like = torch.zeros(max(operator.signals, 1), *shape, device=device)
    return tuple(operator(like).shape[1:])
