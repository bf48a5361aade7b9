"""DEFT: the h-transform, learned.

    shift = r_t ( NN1(x_t, x_0_hat, r_t g, lift(y), coverage, log-SNR_t, log(sigma_y + 1e-3))
        + NN2(log-SNR_t, sigma_y) r_t g )

    g     = A^T (r_t^2 A A^T + sigma_y^2 I)^{-1} (y - A x_0_hat),
    r_t^2 = s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2)

Denker et al. 2024, arXiv:2406.01781, eq. 12, with the raw likelihood gradient replaced by r_t g,
which is of order one at every noise level, and the output in units of r_t, the uncertainty of x_0
given x_t under a white Gaussian prior of standard deviation s. For that prior the shift is exactly
r_t^2 g, that is NN1 = 0 and NN2 = 1, where an untrained h-transform starts. The prior is never
differentiated.

In terms of the paper's noise prediction, sigma_t grad log h = (alpha_t / sigma_t) shift: at low
noise r_t = sigma_t / alpha_t and the unit is that of eps; at high noise it is that of x_0, so that
the network need not produce numbers of the size alpha_t / sigma_t.

An h-transform for any linear operator (`operators="any"`) reads, in place of x_t, lift(y) and
sigma_y, the pivot, the Wiener estimate, and how much of coarse and fine structure is seen near each
place, with the noise in units that do not depend on the operator's scale (deft.htransforms.sight).

With `point` the prior is asked where x_t and a linear measurement meet (deft.htransforms.pivot),
and r_t g is what a white Gaussian prior leaves to add there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, Unpack, final, get_args

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.applies import linear_gaussian, made_for
from deft.htransforms.base import HTransform
from deft.htransforms.body import SMALL, Shape, lifts_to, plain, sized, unet
from deft.htransforms.derivative import typical
from deft.htransforms.paper import PaperHTransform
from deft.htransforms.pivot import Where, guidance, pivot
from deft.htransforms.sight import OCTAVES, Sight, log_noise, sight
from deft.likelihoods import Observation
from deft.networks import MLP
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.types import Signal, Times, axes_of, expand

Operators = Literal["one", "any"]
_FOR_ONE = "train one for this operator alone: deft train --problem ..., or LearnedHTransform"


@final
class LearnedHTransform(HTransform):
    """A small network that reads what the prior and the measurement say.

    `scale` is the prior's; `point` is where the prior is asked: "x_t", or, for linear Gaussian
    measurements, "pivot" or "matched". `operators` is "one" for what one kind of operator needs, or
    "any" for what is the same for every linear one. `channels`, `blocks`, `patch`, `attention` and
    `fine` shape the U-Net (deft.networks.unet), a small one by default.
    """

    scale: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: float,
        *,
        point: Where = "x_t",
        operators: Operators = "one",
        **shape: Unpack[Shape],
    ) -> None:
        super().__init__()
        checks.name("operators", operators, get_args(Operators))
        if point not in (places := get_args(Where)):
            raise InvalidInput(
                "point",
                given=point,
                expected=" or ".join(map(repr, places)),
                advice="use 'x_t' for measurements of every kind",
            )
        self.event_shape, self.where, self.any = tuple(event_shape), point, operators == "any"
        self.event_axes = axes_of(event_shape)
        shape = {**SMALL, **shape}
        elsewhere: dict[str, str] = {} if point == "x_t" else {"point": point}
        if self.any:
            elsewhere["operators"] = operators
        self.config = {"event_shape": list(event_shape), **elsewhere, **plain(shape)}
        self.register_buffer(
            "scale", torch.tensor(checks.positive("scale", scale, "the standard deviation of x_0"))
        )
        c = event_shape[0]
        width = 4 * c + 1 + (OCTAVES + 1 if self.any else 0)
        self.nn1 = unet(event_shape, width, numbers=2, shape=shape)
        self.nn2 = MLP(2, 1, width=32, bias=1.0)

    @classmethod
    def for_prior(
        cls,
        prior: Prior,
        *,
        fraction: float = 0.05,
        blocks: int = 1,
        patch: int | None = None,
        fine: int = 0,
        point: Where | None = None,
        operators: Operators = "one",
    ) -> LearnedHTransform:
        """An h-transform with about `fraction` of the prior's parameters, for the prior's signals
        (deft.htransforms.body).

        Large signals enter by patches; where detail matters (tomography), a smaller `patch` and a
        stage of width `fine` at full resolution keep it, at a higher cost. `point` is "x_t" by
        default, and "pivot" for any linear operator.
        """
        point = point or ("pivot" if operators == "any" else "x_t")
        make = partial(cls, point=point, operators=operators)
        return sized(make, prior, fraction, blocks, patch, fine)

    @staticmethod
    def paper(
        prior: Prior,
        *,
        fraction: float = 0.05,
        blocks: int = 1,
        patch: int | None = None,
        fine: int = 0,
        initial_weight: float = 0.01,
    ) -> PaperHTransform:
        """The paper's own form, eq. 12 to the letter, of the same size: for comparison
        (deft.htransforms.paper).
        """
        return PaperHTransform.for_prior(
            prior,
            fraction=fraction,
            blocks=blocks,
            patch=patch,
            fine=fine,
            initial_weight=initial_weight,
        )

    def check(self, prior: Prior, observation: Observation) -> None:
        """Lifts y, once for all steps. Raises `InvalidInput` where prior or operator have signals
        of another shape, or the operator does not say where a residual leads.
        """
        made_for(self, self.event_shape, prior)
        self.check_measured(prior, observation, self.event_shape)

    def check_measured(
        self, prior: Prior, observation: Observation, event_shape: Sequence[int]
    ) -> None:
        """The part of `check` about the measurement, of signals of any shape."""
        if self.any:
            linear_gaussian(observation, self, prior, _FOR_ONE)
            self._sight(observation, event_shape)
            return
        lifts_to(self, event_shape, observation)
        if self.asks_elsewhere:
            linear_gaussian(observation, self, prior, f"use {type(self).__name__} with point='x_t'")
        if len(observation) and not isinstance(observation.operator, LinearOperator):
            one, x_0 = typical(prior, observation)
            one.likelihood.guidance(x_0, torch.full_like(x_0.flatten()[:1], prior.scale), one.y)

    @property
    def asks_elsewhere(self) -> bool:
        return self.where != "x_t"

    def point(
        self, prior: Prior, x_t: Signal, t: Times, observation: Observation
    ) -> tuple[Signal, Times]:
        if self.where == "x_t":
            return x_t, t
        return pivot(
            prior, x_t, t, observation, linear_gaussian(observation, self), self.where == "matched"
        )

    def spread(self, denoised: Denoised | Asked) -> Tensor:
        """r_t, one per signal or one for all."""
        return denoised.spread(self.scale).flatten()

    def inputs(self, denoised: Denoised | Asked, observation: Observation) -> dict[str, Signal]:
        """What NN1 reads, by name; each of order one (the lift where the noise in it does not
        exceed the signal).

        Of all signals that the operator cannot tell from its lift, the network is shown the one
        nearest to x_0_hat.
        """
        if self.any:
            return self._inputs_of_any(denoised, observation)
        x_t, x_0_hat = denoised.x_t, denoised.x_0_hat
        lifted = observation.lifted.expand_as(x_0_hat)
        return {
            "x_t": x_t / denoised.marginal_spread(self.scale),
            "x_0_hat": x_0_hat / self.scale,
            "guidance": self.guidance(denoised, observation),
            "lift": observation.operator.align(lifted, x_0_hat) / self.scale,
            "coverage": observation.operator.coverage(x_t),
        }

    def _inputs_of_any(
        self, denoised: Denoised | Asked, observation: Observation
    ) -> dict[str, Signal]:
        """The same names for every linear operator; `pivot` is where the prior was asked."""
        x_0_hat = denoised.x_0_hat
        sight = self._sight(observation, x_0_hat.shape[1:])
        asked = denoised.there.x_t
        return {
            "pivot": asked / denoised.marginal_spread(self.scale),
            "x_0_hat": x_0_hat / self.scale,
            "guidance": self.guidance(denoised, observation),
            "reconstruction": sight.reconstruction / self.scale,
            "coverage": observation.operator.coverage(x_0_hat),
            "seen": sight.seen,
        }

    def _sight(self, observation: Observation, event_shape: Sequence[int]) -> Sight:
        operator = linear_gaussian(observation, self, advice=_FOR_ONE)
        return sight(observation, operator, event_shape, float(self.scale))

    def noise(self, observation: Observation, event_shape: Sequence[int]) -> Tensor:
        """The standard deviation of the noise in y, as the network reads it."""
        return self._sight(observation, event_shape).noise if self.any else observation.sigma_y

    def guidance(self, denoised: Denoised | Asked, observation: Observation) -> Signal:
        """What a white Gaussian prior would have added, in units of r_t."""
        if self.asks_elsewhere:
            return guidance(denoised, observation, self.scale)  # type: ignore[arg-type]
        return observation.likelihood.guidance(
            denoised.x_0_hat, self.spread(denoised), observation.y
        )

    def shift(self, denoised: Denoised | Asked, observation: Observation) -> Signal:
        with torch.autocast(
            denoised.x_t.device.type, enabled=False
        ):  # half precision is for networks, not for operators
            inputs = self.inputs(denoised, observation)
        noise = self.noise(observation, denoised.x_0_hat.shape[1:])
        return self.answer(inputs, denoised, noise)

    def answer(
        self, inputs: dict[str, Signal], denoised: Denoised | Asked, noise: Tensor
    ) -> Signal:
        """The shift, of what `inputs` read: the networks see nothing else but the noise levels,
        that of x_t and that of y.
        """
        batch = len(denoised.x_t)
        numbers = torch.stack(
            [denoised.log_snr.expand(batch), log_noise(noise).expand(batch)], dim=1
        )
        correction = self.nn1(
            torch.cat([value.expand(batch, *value.shape[1:]) for value in inputs.values()], dim=1),
            numbers,
        )
        weight = self.nn2(numbers)[:, 0]
        return expand(self.spread(denoised), correction) * (
            correction + expand(weight, correction) * inputs["guidance"]
        )
