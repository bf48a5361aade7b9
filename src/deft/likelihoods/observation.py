"""What was measured, with how."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from deft.codec import Codec
from deft.errors import InvalidInput
from deft.likelihoods.base import Likelihood
from deft.operators.base import ForwardOperator
from deft.types import Measurement, Signal, as_index


@final
@dataclass(frozen=True)
class Observation:
    """What was measured and how: y and its likelihood, batched together.

    Raises InvalidInput for a y that is not finite, and says which signal. Entries that the operator
    does not observe (pixels under a mask) are no measurements: a NaN or an infinity there becomes
    0. Of a noise that differs between entries, or is correlated, y and the likelihood are those of
    the whitened measurement (`GaussianLikelihood.plain`).
    """

    y: Measurement
    likelihood: Likelihood

    def __post_init__(self) -> None:
        if not isinstance(self.y, Tensor) or self.y.ndim < 1:
            raise InvalidInput(
                "y",
                given=self.y if not isinstance(self.y, Tensor) else "a number",
                expected="a tensor (batch, *measurement)",
            )
        if not self.y.is_floating_point() and not self.y.is_complex():
            raise InvalidInput(
                "y",
                given=f"values of {self.y.dtype}",
                expected="floating-point values",
                advice="use y.float()",
            )
        if self.y.device.type != "meta" and not bool(self.y.isfinite().all()):
            object.__setattr__(self, "y", _seen_and_finite(self.y, self.likelihood.operator))
        if self.y.device.type != "meta" and not self.y.is_complex():
            self.likelihood.operator.check_measurement(self.y)
        y, likelihood = self.likelihood.plain(self.y)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "likelihood", likelihood)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def operator(self) -> ForwardOperator:
        """The forward operator of the likelihood."""
        return self.likelihood.operator

    @property
    def sigma_y(self) -> Tensor:
        """The standard deviation of the noise: (1,) or (batch,)."""
        return self.likelihood.sigma_y

    @property
    def measured(self) -> Measurement:
        """y in the units in which it was measured: where the noise differs between entries, or is
        correlated, `y` and `residual` are those that make it white.
        """
        return self.operator.measured(self.y)

    @property
    def is_whitened(self) -> bool:
        """Whether the noise differs between entries, or is correlated."""
        return self.measured is not self.y

    @property
    def is_correlated(self) -> bool:
        """Whether the noise is correlated, so that each entry of y is made of several."""
        whitening = getattr(self.operator, "whitening", None)
        return whitening is not None and not whitening.diagonal

    def residual(self, x_0: Signal) -> Measurement:
        """y - A(x_0)."""
        return self.likelihood.residual(x_0, self.y)

    def kept(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What was computed once under this name: one row per signal, kept by
        `take`, `repeat` and `to`.
        """
        found = self._kept
        if name not in found:
            with torch.inference_mode(False), torch.no_grad():
                found[name] = make()
        return found[name]

    @property
    def _kept(self) -> dict[str, Tensor]:
        """What `kept` has computed."""
        result: dict[str, Tensor] = vars(self).setdefault("_computed", {})
        return result

    def _with_kept(self, kept: dict[str, Tensor]) -> Observation:
        vars(self)["_computed"] = kept
        return self

    @property
    def lifted(self) -> Signal:
        """y as a signal, `operator.lift(y)`: computed once, for it may be a reconstruction by
        itself.
        """
        return self.kept("lift", self._lift)

    def _lift(self) -> Signal:
        lifted = self.operator.lift(self.y)
        return (
            lifted.to(self.sigma_y.dtype) if self.likelihood.counts else lifted
        )  # counts may be kept more precisely

    def behind(self, codec: Codec) -> Observation:
        """The same measurement, as one of what a codec decodes."""
        other = Observation(self.y, self.likelihood.behind(codec))
        if "lift" not in self._kept:
            return other
        with torch.no_grad():
            return other.with_lift(codec.encode(self.lifted))

    def in_frame(self, x_0: Signal) -> Observation:
        """The observation in the frame of x_0 (`ForwardOperator.in_frame`): itself, unless y is
        known up to a symmetry.
        """
        operator, y = self.operator.in_frame(self.y, x_0)
        same = operator is self.operator
        return self if same else _derived(y, self.likelihood.around(operator))

    def with_lift(self, lifted: Signal) -> Observation:
        """The same observation, whose lift is known: one that was kept, or a reconstruction of
        one's own.
        """
        return _derived(self.y, self.likelihood)._with_kept({**self._kept, "lift": lifted})

    def take(self, index: Sequence[int] | Tensor) -> Observation:
        """The observations `index`; an index may come twice."""
        index = as_index(index)
        taken = _derived(self.y[index.to(self.y.device)], self.likelihood.take(index))
        return taken._with_kept(
            {name: value[index.to(value.device)] for name, value in self._kept.items()}
        )

    def repeat(self, n: int) -> Observation:
        """Each observation, `n` times side by side."""
        return self.take(torch.arange(len(self)).repeat_interleave(n))

    def to(self, device: torch.device | str) -> Observation:
        """The same observation on another device; this one stays where it is."""
        likelihood = self.likelihood.take(range(len(self)))
        _apart(likelihood)
        moved = _derived(self.y.to(device), likelihood.to(device))
        return moved._with_kept({name: value.to(device) for name, value in self._kept.items()})

    def in_dtype(self, dtype: torch.dtype) -> Observation:
        """The same observation in the precision of a prior: y, the noise level and the operator's
        parameters; itself where it is so already.

        Double precision is rounded to single silently, by 6e-8 of each value. Counts keep every
        digit: where single precision would round them, y stays as it is.
        """
        if (
            self.y.dtype == dtype
            or not self.y.is_floating_point()
            or dtype not in (torch.float32, torch.float64)
        ):
            return self
        y = self.y.to(dtype)
        if self.likelihood.counts and not bool((y.to(self.y.dtype) == self.y).all()):
            y = self.y
        same = _derived(y, self.likelihood.in_dtype(len(self), dtype))
        return same._with_kept({name: value.to(dtype) for name, value in self._kept.items()})


def _derived(y: Measurement, likelihood: Likelihood) -> Observation:
    """An observation whose y was looked at before."""
    same = object.__new__(Observation)
    object.__setattr__(same, "y", y)
    object.__setattr__(same, "likelihood", likelihood)
    return same


def _seen_and_finite(y: Measurement, operator: ForwardOperator) -> Measurement:
    """y with zeros where it is not finite and no measurement. Raises InvalidInput where it is
    one.
    """
    finite = y.isfinite()
    seen = operator.observed(torch.ones_like(y)) != 0
    bad = (~finite & seen).reshape(len(y), -1)
    if bool(bad.any()):
        first = int(bad.any(1).nonzero()[0])
        place = tuple(int(k) for k in (~finite & seen)[first].nonzero()[0])
        raise InvalidInput(
            f"y of signal {first}",
            given=f"{y[first][place].item()} at {place}, one of {int(bad.sum())} values that are "
            "not finite",
            expected="finite measurements",
            advice="mend them, or leave these signals out",
        )
    return torch.where(finite, y, torch.zeros_like(y))


def _apart(module: nn.Module) -> None:
    """Give what is no operator copies of its own (a codec, which is the prior's): `Module.to` moves
    in place.
    """
    for name, part in module._modules.items():
        if isinstance(part, ForwardOperator):
            _apart(part)
        elif part is not None:
            module._modules[name] = copy.deepcopy(part)
