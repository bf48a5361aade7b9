"""What one request asks, checked: x_t, t and context of a body (deft.priors.remote.wire)."""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.priors.remote import wire
from deft.priors.remote.card import CONTEXT, Limits
from deft.serving.batches import Asked


def asked(body: bytes | bytearray, prior: Prior, limits: Limits) -> Asked:
    """The request of a body. Raises `InvalidInput` for anything that the prior cannot be asked."""
    tensors = wire.unpacked(body)
    for name, value in tensors.items():
        wire.check_finite(name, value)
    for name in ("x_t", "t"):
        if name not in tensors:
            raise InvalidInput(name, given="nothing", expected="a tensor of this name")
    x_t, t = tensors.pop("x_t"), tensors.pop("t")
    _check_signals(x_t, prior, limits)
    _check_times(t, len(x_t))
    for name, value in tensors.items():
        if name not in prior.takes:
            known = " and ".join(prior.takes)
            raise InvalidInput(
                "body", given=name, expected=f"x_t and t{' and ' + known if known else ''} alone"
            )
        if not value.ndim or len(value) not in (1, len(x_t)) or value[0].numel() > CONTEXT:
            raise InvalidInput(
                name,
                given=tuple(value.shape),
                expected=f"1 or {len(x_t)} entries, each of at most {CONTEXT:,} numbers",
            )
        tensors[name] = prior.checked_context(name, value)
    return Asked(x_t, t, tensors)


def _check_signals(x_t: Tensor, prior: Prior, limits: Limits) -> None:
    shape = tuple(prior.event_shape)
    if x_t.dtype != torch.float32 or tuple(x_t.shape[1:]) != shape or not x_t.ndim:
        raise InvalidInput(
            "x_t",
            given=f"{str(x_t.dtype).removeprefix('torch.')} {tuple(x_t.shape)}",
            expected=f"float32, (signals, {', '.join(map(str, shape))})",
        )
    if len(x_t) > limits.signals:
        raise InvalidInput(
            "x_t", given=f"{len(x_t)} signals", expected=f"at most {limits.signals} of them"
        )


def _check_times(t: Tensor, signals: int) -> None:
    real = t.dtype in (torch.float32, torch.float64)
    if not real or tuple(t.shape) not in ((1,), (signals,)):
        raise InvalidInput(
            "t",
            given=f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}",
            expected=f"float32 or float64, (1,) or ({signals},)",
        )
    if not bool(((t >= 0) & (t <= 1)).all()):
        raise InvalidInput("t", given=f"{t.min():g} to {t.max():g}", expected="times from 0 to 1")
