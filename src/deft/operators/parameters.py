"""Checks of what an operator is made of: masks, kernels and other tensors, looked at once, when it
is constructed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput


def real_tensor(what: str, value: object, expected: str, *, whole: bool = False) -> Tensor:
    """A real, finite tensor of floats; integers and truth values become floats where `whole` says
    that they are meant.
    """
    if not isinstance(value, Tensor):
        raise InvalidInput(
            what,
            given=type(value).__name__,
            expected=f"a torch.Tensor, {expected}",
            advice="torch.as_tensor makes one",
        )
    if value.is_complex() or not (value.is_floating_point() or whole):
        advice = (
            "operators here are real: a complex one acts on two channels, real and imaginary"
            if value.is_complex()
            else "use .float()"
        )
        raise InvalidInput(
            what,
            given=str(value.dtype),
            expected=f"real floating-point numbers, {expected}",
            advice=advice,
        )
    value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
    if not value.is_meta and not bool((finite := value.isfinite()).all()):
        raise InvalidInput(
            what,
            given=f"{int((~finite).sum())} of {value.numel()} entries that are NaN or infinite",
            expected=f"finite numbers, {expected}",
        )
    return value


def mask_of(value: Any, axes: str, meaning: str) -> Tensor:
    """A mask (batch or 1, 1, *space) of zeros and ones, as floats; `axes` says its space, `meaning`
    what a one is.
    """
    expected = f"(batch or 1, 1, {axes}), 1 where {meaning} and 0 elsewhere"
    mask = real_tensor("mask", value, expected, whole=True)
    space = mask.shape[2:]
    if mask.ndim < 3 or (axes != "*space" and mask.ndim != 4) or mask.shape[1] != 1 or 0 in space:
        advice = f"one channel serves all: mask[{':, :1' if mask.ndim > 2 else 'None, None'}]"
        raise InvalidInput(
            "mask", given=f"the shape {tuple(mask.shape)}", expected=expected, advice=advice
        )
    if not mask.is_meta and not bool(((mask == 0) | (mask == 1)).all()):
        low, high = mask.min().item(), mask.max().item()
        raise InvalidInput(
            "mask",
            given=f"values between {low:g} and {high:g}",
            expected=expected,
            advice="threshold it first: mask > 0.5, say",
        )
    return mask


def kernel_of(value: Any) -> Tensor:
    """A blur kernel (batch or 1, *size); a warning says where it does not keep the brightness."""
    expected = "(batch or 1, height, width), or (batch or 1, length) for 1-D signals, summing to 1"
    kernel = real_tensor("kernel", value, expected, whole=True)
    if kernel.ndim not in (2, 3) or 0 in kernel.shape[1:]:
        advice = "the channels share one kernel: leave their axis out" if kernel.ndim == 4 else ""
        raise InvalidInput(
            "kernel", given=f"the shape {tuple(kernel.shape)}", expected=expected, advice=advice
        )
    if kernel.is_meta or not len(kernel):
        return kernel
    sums, peaks = kernel.flatten(1).sum(1).tolist(), kernel.flatten(1).abs().amax(1).tolist()
    if min(peaks) == 0 or min(sums) < -1e-6 * max(peaks):
        given = "a kernel of zeros" if min(peaks) == 0 else f"a kernel whose sum is {min(sums):.3g}"
        raise InvalidInput(
            "kernel",
            given=given,
            expected=expected,
            advice="a blur is a weighted mean; write other convolutions as a Matrix or a "
            "LinearOperator",
        )
    if max(abs(total - 1) for total in sums) > 0.05:
        worst = max(sums, key=lambda total: abs(total - 1))
        warnings.warn(
            f"a blur kernel sums to {worst:.2g}, so that A multiplies the brightness by it; one "
            "that keeps it sums to 1: divide the kernel by its sum, unless that is meant.",
            stacklevel=4,
        )
    return kernel


def event_shape_of(value: Any) -> tuple[int, ...]:
    """The shape of a signal without its batch, as whole numbers >= 1."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not len(value):
        raise InvalidInput(
            "event_shape",
            given=str(value),
            expected="the signal's shape without its batch, (channels, *space), say",
        )
    return tuple(
        checks.whole(
            "event_shape", n, meaning=f"for each axis of {tuple(value)}, the batch left out"
        )
        for n in value
    )
