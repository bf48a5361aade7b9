"""Diffusion priors, known through their denoiser.

    x_t = alpha_t x_0 + sigma_t eps
    x_0_hat = E[x_0 | x_t],    eps_hat = (x_t - alpha_t x_0_hat) / sigma_t,
    score = -eps_hat / sigma_t      (Tweedie)

A prior is frozen: no method of this library changes its weights.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Self

import torch
from torch import Tensor, nn

from deft.codec import Codec
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.context import Context
from deft.priors.denoised import Denoised
from deft.priors.identity import schedule_in_numbers
from deft.schedules import Schedule
from deft.storage.fingerprint import of_state as state_hash
from deft.transitions import Steps
from deft.types import Axes, Signal, Times, axes_of, expand


class Prior(nn.Module, ABC):
    """A diffusion prior p(x_0), known through its denoiser; frozen.

    `scale` is the standard deviation of x_0 (one number over all entries), `value_range` the range
    of its values where there is one (images: (-1, 1)), `differentiable` says whether gradients pass
    through `denoise`, `prediction` what its network returns,
    `takes` the names of the context that it can be `given`. `codec` leads from its signals to
    those that are measured and looked at (latents to images); None where they are the same.
    """

    schedule: Schedule
    event_shape: tuple[int, ...]
    value_range: tuple[float, float] | None = None
    scale: float = 1.0
    differentiable: bool = True
    prediction: str = "x_0"
    takes: tuple[str, ...] = ()
    _context: Context = Context()
    _hashed: tuple[object, str] | None = None

    @abstractmethod
    def denoise(self, x_t: Signal, t: Times) -> Signal:
        """E[x_0 | x_t]."""

    @property
    def name(self) -> str:
        """What tables and cards call this prior."""
        return type(self).__name__

    def identity(self) -> dict[str, object]:
        """What a checkpoint records of the prior that it belongs to: name, hash of its weights
        (None without weights), and what else makes it the denoiser that it is.
        """
        return {
            "name": self.name,
            "hash": self._state_hash(),
            "event_shape": list(self.event_shape),
            "schedule": schedule_in_numbers(self.schedule),
            "prediction": self.prediction,
            "scale": float(f"{self.scale:.4g}"),
        }

    def _state_hash(self) -> str | None:
        """The hash of the weights, computed once: anew where a tensor was written to or replaced
        since; None without weights.
        """
        held = [*self.parameters(), *self.buffers()]
        if not held:
            return None
        if any(value.is_inference() for value in held):  # whose writes nobody counts
            return state_hash(self)
        now = tuple((value.data_ptr(), value._version, value.dtype, value.shape) for value in held)
        if self._hashed is None or self._hashed[0] != now:
            self._hashed = (now, state_hash(self))
        return self._hashed[1]

    @property
    def context(self) -> Context:
        """What it is told beside x_t."""
        return self._context

    @property
    def num_observations(self) -> int:
        """How many signals it is told something of its own about; 1 for an unconditional prior."""
        return len(self.context)

    def take(self, index: Sequence[int] | Tensor) -> Prior:
        """The prior of the signals `index` (of `num_observations`); an unconditional prior is the
        same for all.
        """
        return self if len(self.context) == 1 else self._with(self.context.take(index))

    def given(self, **context: Tensor) -> Self:
        """The prior with its context fixed, for all signals or for each: those of `takes` (labels,
        prompt embeddings, length masks).

        Raises `InvalidInput` for anything else, and for values that `checked_context` refuses.
        """
        for name, value in context.items():
            if name not in self.takes:
                known = " and ".join(f"`{known}`" for known in self.takes)
                raise InvalidInput(
                    name,
                    given=value.tolist() if isinstance(value, Tensor) else value,
                    expected=f"{known}, the context of {self.name}"
                    if known
                    else f"nothing: {self.name} is unconditional, and takes no context",
                    advice=f"leave `{name}` out",
                )
        checked = {name: self.checked_context(name, value) for name, value in context.items()}
        return self._with(self.context.given(checked)) if checked else self

    def checked_context(self, name: str, value: Tensor) -> Tensor:
        """A value of its context as it is kept; raises `InvalidInput` for one that it cannot be."""
        return value

    def told(self, x_t: Signal) -> dict[str, Tensor]:
        """Its context for each of these signals, on their device. Raises `InvalidInput` where it is
        for another number of signals.
        """
        return self.context.for_signals(len(x_t), x_t.device, self.name)

    def _with(self, context: Context) -> Self:
        other = copy.copy(self)
        other._context = context
        return other

    def on(self, steps: Steps) -> Prior:
        """The prior bound to the steps that a sampler will take: itself, unless what conditions it
        depends on them.
        """
        return self

    def noise(self, noise: Noise, step: int, draws: int | None = None) -> Signal:
        """eps of one step, in the prior's own space: every draw of a sampler, a path or an
        objective.

        (batch, *event), or (batch, draws, *event) for several at once. A prior whose signals fill a
        part of their space (padded places, a centre of mass at 0) overrides this, so that x_t stays
        in that part.
        """
        return noise.normal(step, self.event_shape if draws is None else (draws, *self.event_shape))

    def initial(self, noise: Noise) -> Signal:
        """x_1: a normal draw with the standard deviation of the marginal at t = 1."""
        one = torch.ones(1, dtype=noise.dtype)
        spread = (
            (self.schedule.alpha(one) ** 2 * self.scale**2 + self.schedule.sigma(one) ** 2)
            .sqrt()
            .item()
        )
        return spread * self.noise(noise, 0)

    def at(self, x_t: Signal, t: Times) -> Denoised:
        """`denoise`, with the factors of the schedule beside it."""
        alpha_t, sigma_t = self.levels(x_t, t)
        return Denoised(x_t, t, alpha_t, sigma_t, self.denoise(x_t, t))

    def levels(self, x_t: Signal, t: Times) -> tuple[Tensor, Tensor]:
        """(alpha_t, sigma_t), shaped to broadcast against x_t."""
        return expand(self.schedule.alpha(t), x_t).to(x_t), expand(self.schedule.sigma(t), x_t).to(
            x_t
        )

    @property
    def codec(self) -> Codec | None:
        """The codec that a subclass registered by `self.codec = ...`."""
        found = self._modules.get("codec")
        return found if isinstance(found, Codec) else None

    def with_own_codec(self) -> Self:
        """The same prior, of the same weights, whose codec is its own: the error that is set on it
        is not set on that of another. Itself without a codec.
        """
        if self.codec is None:
            return self
        other = copy.copy(self)
        other._modules = {
            name: copy.copy(part)
            if part is self.codec
            else part.with_own_codec()
            if isinstance(part, Prior)
            else part
            for name, part in self._modules.items()
        }
        return other

    @property
    def signal_shape(self) -> tuple[int, ...]:
        """The shape of what is measured and looked at: that of x_t, unless there is a codec."""
        return self.event_shape if self.codec is None else self.codec.signal_shape

    def decode(self, x_0: Tensor) -> Tensor:
        """Samples as they are measured and looked at: themselves, unless there is a codec; any
        number of axes before those of a signal.
        """
        if self.codec is None:
            return x_0
        lead = x_0.ndim - len(self.event_shape)
        result: Tensor = self.codec.decode(x_0.flatten(0, lead - 1)).unflatten(0, x_0.shape[:lead])
        return result

    def encode(self, x: Tensor) -> Tensor:
        """Signals that are measured and looked at, as x_0 of this prior: themselves, unless there
        is a codec.
        """
        with torch.no_grad():
            return x if self.codec is None else self.codec.encode(x)

    @property
    def event_axes(self) -> Axes:
        """What the axes of x_t are: by their number, unless a prior says that they are others (a
        cloud of points).
        """
        return axes_of(self.event_shape)

    @property
    def dimensions(self) -> Tensor:
        """In how many dimensions each signal varies, for log-densities: one number for all, or one
        for each signal that it is told something of its own about (masks).
        """
        return torch.tensor([math.prod(self.event_shape)])

    @property
    def num_parameters(self) -> int:
        """How many parameters the network has."""
        return sum(p.numel() for p in self.parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(
            (p.device for p in chain(self.parameters(), self.buffers())), torch.device("cpu")
        )

    @property
    def network_dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(
            (p.dtype for p in chain(self.parameters(), self.buffers()) if p.is_floating_point()),
            torch.get_default_dtype(),
        )

    @property
    def dtype(self) -> torch.dtype:
        """The precision of states, noise and samples: single, whatever the network computes in, and
        double where its weights are.
        """
        return torch.promote_types(self.network_dtype, torch.float32)

    def frozen(self) -> Self:
        """The prior in evaluation mode, with no parameter that asks for gradients."""
        return self.eval().requires_grad_(False)
