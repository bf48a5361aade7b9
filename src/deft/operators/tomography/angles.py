"""The angles of a scan, in degrees: evenly over an arc, or given, and then checked."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.tomography.quantities import LARGEST_SIDE, real, whole

_FARTHEST = 36_000.0  # degrees: a hundred turns; beyond, single precision does not tell views apart


def views(count: int, span: float = 180.0, start: float = 0.0) -> Tensor:
    """`count` angles in degrees, evenly over [start, start + span): 180 for a parallel beam, 360
    for a fan; less is a limited angle.

    A negative span turns the other way. Raises InvalidInput for counts below 1, a span of 0, and
    numbers that are not finite.
    """
    count = whole("views", count, "the number of views of a scan, at least one view")
    span, start = real("span", span, "degrees, not 0"), real("start", start, "degrees")
    if span == 0:
        raise InvalidInput(
            "span",
            given=span,
            expected="degrees, not 0",
            advice="180 is all of a parallel beam, 360 of a fan",
        )
    if max(abs(span), abs(start)) > _FARTHEST:
        raise InvalidInput(
            "span and start",
            given=(span, start),
            expected=f"degrees, {_FARTHEST:g} (a hundred turns) at most",
        )
    return start + span / count * torch.arange(count, dtype=torch.get_default_dtype())


def checked_angles(angles: Tensor | Sequence[float]) -> Tensor:
    """The angles of a scan, (views,) or (batch, views), in the default precision. Raises
    InvalidInput for radians, and warns where they may be.
    """
    expected = "finite degrees, (views,) or (batch, views)"
    try:
        angles = torch.as_tensor(angles)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput("angles are finite degrees", given=angles, expected=expected) from error
    if angles.is_complex() or angles.dtype == torch.bool:
        raise InvalidInput(
            "angles are finite degrees", given=f"values of {angles.dtype}", expected=expected
        )
    if angles.ndim not in (1, 2) or angles.shape[-1] == 0:
        raise InvalidInput(
            "angles are finite degrees", given=f"the shape {tuple(angles.shape)}", expected=expected
        )
    angles = angles.to(torch.get_default_dtype())
    if not bool(angles.isfinite().all()):
        raise InvalidInput(
            "angles are finite degrees",
            given=float(angles[~angles.isfinite()][0]),
            expected=expected,
        )
    if angles.numel() and float(angles.abs().max()) > _FARTHEST:
        raise InvalidInput(
            "angles",
            given=float(angles.abs().max()),
            expected=f"degrees, {_FARTHEST:g} (a hundred turns) at most",
        )
    if angles.shape[-1] > LARGEST_SIDE:
        raise InvalidInput(
            "angles", given=f"{angles.shape[-1]} views", expected=f"{LARGEST_SIDE} views at most"
        )
    _check_unit(angles)
    return angles


def _check_unit(angles: Tensor) -> None:
    """Refuse radians: angles within 2 pi, with an eighth of a turn among them (or one step beyond
    the last); warn where all lie within 2 pi.
    """
    if not angles.numel() or not 0 < float(angles.abs().max()) <= 2 * math.pi + 1e-3:
        return
    turn = angles.double().cpu()
    step = (
        (turn[:, -1:] - turn[:, :1]) / max(turn.shape[1] - 1, 1)
        if turn.ndim == 2
        else (turn[-1:] - turn[:1]) / max(len(turn) - 1, 1)
    )
    span = turn[..., -1:] - turn[..., :1] + step
    eighths = torch.cat([turn.flatten(), span.flatten()]).abs() / (math.pi / 4)
    advice = "the angles of a scan are in degrees: use torch.rad2deg(angles)"
    if bool(((eighths > 0.5) & ((eighths - eighths.round()).abs() < 2e-6)).any()):
        raise InvalidInput(
            "angles",
            given=f"{float(turn.min()):.6g} to {float(turn.max()):.6g}, which are radians",
            expected="degrees",
            advice=advice,
        )
    if turn.shape[-1] >= 4:
        warnings.warn(
            f"the {turn.shape[-1]} views of this scan lie within "
            f"{float(turn.max() - turn.min()):.3g} degrees, from {float(turn.min()):.3g} to "
            f"{float(turn.max()):.3g}, which leaves almost nothing to see. If they are radians, "
            f"{advice}.",
            stacklevel=4,
        )
