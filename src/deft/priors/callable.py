"""A prior that is any function: a network of the user's own, or a service behind an API.

f(x_t, t) is E[x_0 | x_t], or another `prediction` (deft.priors.predictions), which is turned into
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.priors import predictions
from deft.priors.base import Prior
from deft.priors.predictions import Prediction
from deft.schedules import Schedule
from deft.storage.fingerprint import fingerprint
from deft.types import Signal, Times

Function = Callable[..., Signal]  # of (x_t, t), and of the context by keyword


@final
class CallablePrior(Prior):
    """A function f(x_t, t), with t one time per signal, that returns E[x_0 | x_t], or what
    `prediction` says: "epsilon", "v", "velocity", "score", a `Prediction`.

    `scale` is the standard deviation of x_0. Where `differentiable` is left False the function is
    called without gradients and need not be written in torch. A module given as `denoiser` is
    registered and frozen in place: its weights move with the prior and count for its identity; a
    function has none, so that `identity` (a text: which service, which version) ties h-transforms
    to it. `context` names what the function takes beside (x_t, t), by keyword: the prior is then
    `given` it, one entry per signal or one for all.
    """

    def __init__(
        self,
        denoiser: Function,
        schedule: Schedule,
        event_shape: Sequence[int],
        scale: float,
        *,
        differentiable: bool = False,
        value_range: tuple[float, float] | None = None,
        name: str = "callable",
        identity: str | None = None,
        prediction: str | Prediction = "x_0",
        context: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.takes = _names(context)
        self._identity, self._asked = identity, False
        scale = checks.positive("scale", scale, "the standard deviation of x_0")
        if value_range is not None:
            value_range = checks.finite_range("value_range", value_range, "the values of signals")
        if not event_shape:
            raise InvalidInput(
                "event_shape", given=(), expected="the sizes of one signal, such as (3, 64, 64)"
            )
        event_shape = tuple(
            checks.whole("event_shape", n, meaning="the sizes of one signal") for n in event_shape
        )
        self.denoiser, self.schedule, self.event_shape, self.scale = (
            denoiser,
            schedule,
            tuple(event_shape),
            float(scale),
        )
        self.differentiable, self.value_range, self._name = differentiable, value_range, name
        self._prediction = predictions.prediction(prediction)
        self.frozen()

    @classmethod
    def from_eps(
        cls,
        eps: Function,
        schedule: Schedule,
        event_shape: Sequence[int],
        scale: float,
        **settings: Any,
    ) -> CallablePrior:
        """From a function that predicts the noise; `settings` are those of the constructor."""
        return cls(eps, schedule, event_shape, scale, **settings, prediction="epsilon")

    @property
    def prediction(self) -> str:  # type: ignore[override]
        """What the function returns."""
        return self._prediction.name

    @property
    def name(self) -> str:
        return self._name

    def identity(self) -> dict[str, object]:
        """As for any prior; the hash is that of the text given as `identity`, if one was, and None
        for a function that has neither weights nor that.
        """
        known = super().identity()
        return (
            known
            if self._identity is None
            else {**known, "hash": fingerprint(self._identity, known["hash"])[:16]}
        )

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            alpha_t, sigma_t = self.levels(x_t, t)
            given = self._prediction.given(x_t, alpha_t, sigma_t)
            given = (
                given
                if self.network_dtype not in (torch.float16, torch.bfloat16)
                else given.to(self.network_dtype)
            )
            out = self._checked(self.denoiser(given, t.expand(len(x_t)), **self.told(x_t)), x_t)
            return self._prediction.x_0_hat(out, x_t, alpha_t, sigma_t)

    def _checked(self, out: object, x_t: Signal) -> Signal:
        """What the function returned, in the precision of x_t; finite numbers the first time."""
        first, self._asked = not self._asked, True
        return answer(f"the function of {self.name}", out, x_t, finite=first)


def answer(what: str, out: object, x_t: Signal, *, finite: bool) -> Signal:
    """What a function of the user's returned for x_t, in the precision of x_t. Raises
    `InvalidInput` for anything but real numbers of its shape, and, where `finite`, for what is not
    finite.
    """
    if not isinstance(out, torch.Tensor) or not out.is_floating_point() or out.shape != x_t.shape:
        shape = (
            f"a {str(out.dtype).removeprefix('torch.')} tensor {tuple(out.shape)}"
            if isinstance(out, torch.Tensor)
            else f"a {type(out).__name__}"
        )
        raise InvalidInput(
            what,
            given=shape,
            expected=f"a tensor of real numbers with the shape of x_t, {tuple(x_t.shape)}",
        )
    if finite and not bool(out.isfinite().all()) and bool(x_t.isfinite().all()):
        raise InvalidInput(
            what, given="NaN or infinite numbers", expected="finite numbers for a finite x_t"
        )
    return out.to(x_t.dtype)


def _names(context: Sequence[str]) -> tuple[str, ...]:
    """The names of keywords. Raises `InvalidInput` for what cannot be one."""
    names = (context,) if isinstance(context, str) else tuple(context)
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            expected = "names of keywords that the function takes, such as ('class_labels',)"
            raise InvalidInput("context", given=name, expected=expected)
    return names
