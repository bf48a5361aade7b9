"""DEFT for vectors: the h-transform of flat signals, learned, with a choice among modes.

    base  = (x' - x_0_hat) + a_2 v g
    shift = base + r_t NN1(x_t, x_0_hat, r_t g_0, lift, base / r_t, sin and cos of 2^j lift,
        log-SNR_t, log(sigma_y + 1e-3))

    x'    = x_0_hat + a_1 sum_k (q_k - p_k) x_k,
    x_k = E[x_0 | x_t, k] under the Gaussian N(c_k, tau^2 I)
    p_k   ~ w_k N(x_t; alpha_t c_k, (alpha_t^2 tau^2 + sigma_t^2) I),
    q_k ~ p_k N(y; A x_k, v A A^T + sigma_y^2 I)
    g     = A^T (v A A^T + sigma_y^2 I)^{-1} (y - A x'),
    v = tau^2 sigma_t^2 / (alpha_t^2 tau^2 + sigma_t^2)

Where the prior has modes, y decides between them long before x_t does, and that is where a plain
network fails: which mode y selects depends on the operator, and y varies over many widths of a
mode. So the network remembers K signals c_k, the anchors, and asks the *likelihood* how well each
of them explains y: attention, whose scores come from the measurement. c_k, w_k and tau are
parameters like all others, learned from the same pairs; a_1 and a_2 are numbers that a small
network (NN2) reads off the noise levels, 1 at the start. Without anchors x' = x_0_hat and tau = s,
the prior's standard deviation: the base is the single-mode term r_t^2 g_0 that `LearnedHTransform`
starts from.

`lift` is the guidance at x_0 = 0 with r = s, which is bounded where A^+ y is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.applies import linear_gaussian, made_for
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.networks import MLP, ResidualMLP
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.types import Signal, axes_of, expand, inner

_SPEED = 8.0  # of log tau: a width falls by decades while an anchor moves by less than the unit


@final
class FlatHTransform(HTransform):
    """The learned h-transform of signals of shape (d,), for linear operators.

    `width` and `depth` are those of NN1, a residual MLP; depth 0 leaves it out. `anchors` is K, and
    `frequencies` the number of octaves j. `scale` is the prior's. Raises `InvalidInput` for signals
    that are no vectors, and for an operator that is not linear or noise that is not Gaussian.
    """

    scale: Tensor
    octaves: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: float,
        *,
        width: int = 128,
        depth: int = 2,
        anchors: int = 64,
        frequencies: int = 5,
    ) -> None:
        super().__init__()
        if len(event_shape) != 1:
            raise InvalidInput(
                "FlatHTransform takes vectors",
                given=tuple(event_shape),
                expected="signals of shape (d,)",
                advice="use LearnedHTransform, which takes (channels, *space)",
            )
        checks.positive("scale", scale, "the standard deviation of x_0")
        width, depth = (
            checks.whole("width", width, most=1 << 20),
            checks.whole("depth", depth, least=0, most=10_000),
        )
        anchors, frequencies = (
            checks.whole("anchors", anchors, least=0, most=1 << 20),
            checks.whole("frequencies", frequencies, least=0, most=30),
        )
        self.event_shape, self.event_axes = tuple(event_shape), axes_of(event_shape)
        self.config = {
            "event_shape": list(event_shape),
            "width": width,
            "depth": depth,
            "anchors": anchors,
            "frequencies": frequencies,
        }
        d = event_shape[0]
        self.register_buffer("scale", torch.tensor(float(scale)))
        self.register_buffer("octaves", 2.0 ** torch.arange(frequencies), persistent=False)
        self.memory = Anchors(d, anchors) if anchors else None
        self.nn1 = (
            ResidualMLP((5 + 2 * frequencies) * d, d, numbers=2, width=width, depth=depth)
            if depth
            else None
        )
        self.nn2 = MLP(2, 2 if anchors else 1, width=32, bias=1.0)

    @classmethod
    def for_prior(
        cls,
        prior: Prior,
        signals: Signal | None = None,
        *,
        width: int = 128,
        depth: int = 2,
        anchors: int = 64,
    ) -> FlatHTransform:
        """An h-transform for the prior's signals; the anchors start at some of `signals`, a few
        thousand of the data; at random near 0 without them.
        """
        made = cls(prior.event_shape, prior.scale, width=width, depth=depth, anchors=anchors)
        if signals is not None and made.memory is not None:
            made.memory.start(signals / prior.scale)
        return made

    def check(self, prior: Prior, observation: Observation) -> None:
        made_for(self, self.event_shape, prior)
        linear_gaussian(observation, self, prior)

    def shift(self, denoised: Denoised, observation: Observation) -> Signal:
        with torch.autocast(
            denoised.x_t.device.type, enabled=False
        ):  # softmaxes of large numbers; half precision would save little here
            return self._shift(denoised, observation)

    def _shift(self, denoised: Denoised, observation: Observation) -> Signal:
        operator, likelihood = linear_gaussian(observation, self), observation.likelihood
        batch, x_t, x_0_hat = len(denoised.x_t), denoised.x_t, denoised.x_0_hat
        numbers = torch.stack(
            [denoised.log_snr.expand(batch), 2 * (observation.sigma_y + 1e-3).log().expand(batch)],
            dim=1,
        )
        weights = self.nn2(numbers)
        r_t = denoised.spread(self.scale)
        if self.memory is None:
            chosen, root_v = x_0_hat, r_t
        else:
            moved, root_v = self.memory(denoised, observation, operator, self.scale)
            chosen = x_0_hat + weights[:, :1] * moved
        base = (
            chosen
            - x_0_hat
            + weights[:, -1:]
            * root_v
            * likelihood.guidance(chosen, root_v.flatten(), observation.y)
        )
        if self.nn1 is None:
            return base
        lift = likelihood.guidance(torch.zeros_like(x_0_hat), self.scale[None], observation.y)
        angles = (lift[..., None] * self.octaves).flatten(1)
        inputs = [
            x_t / denoised.marginal_spread(self.scale),
            x_0_hat / self.scale,
            likelihood.guidance(x_0_hat, r_t.flatten(), observation.y),
            lift,
            base / r_t,
            angles.sin(),
            angles.cos(),
        ]
        return base + r_t * self.nn1(torch.cat(inputs, dim=1), numbers)


@final
class Anchors(nn.Module):
    """K remembered signals of one width, in units of the prior's standard deviation, and their
    weights.
    """

    def __init__(self, d: int, anchors: int) -> None:
        super().__init__()
        self.places = nn.Parameter(0.3 * torch.randn(anchors, d))
        self.log_weights = nn.Parameter(torch.zeros(anchors))
        self.log_width = nn.Parameter(torch.zeros(()))

    def start(self, signals: Float[Tensor, "signals d"]) -> None:
        """Remember some of these signals, each drawn in proportion to its squared distance from
        those before it (Arthur & Vassilvitskii 2007, k-means++), so that rare modes are among
        them.
        """
        if signals.shape[1:] != self.places.shape[1:] or len(signals) < len(self.places):
            raise InvalidInput(
                f"{len(self.places)} anchors of {self.places.shape[1]} numbers need as many "
                f"signals; got {tuple(signals.shape)}."
            )
        generator = torch.Generator().manual_seed(0)
        signals = signals.detach().cpu().double()
        distance = torch.full((len(signals),), torch.inf, dtype=signals.dtype)
        for k in range(len(self.places)):
            apart = k > 0 and bool(distance.any())  # or all of them are alike
            place = signals[
                torch.multinomial(
                    distance if apart else torch.ones_like(distance), 1, generator=generator
                )
            ]
            distance = torch.minimum(distance, (signals - place).square().sum(1))
            with torch.no_grad():
                self.places[k] = place[0].to(self.places)

    def forward(
        self, denoised: Denoised, observation: Observation, operator: LinearOperator, scale: Tensor
    ) -> tuple[Signal, Tensor]:
        """sum_k (q_k - p_k) x_k, and the square root of v."""
        alpha_t, sigma_t, x_t = denoised.alpha_t, denoised.sigma_t, denoised.x_t
        c, tau = scale * self.places, scale * (_SPEED * self.log_width).exp()
        total = alpha_t**2 * tau**2 + sigma_t**2
        root_v = tau * sigma_t / total.sqrt()
        left, gain = sigma_t**2 / total, alpha_t * tau**2 / total  # x_k = left c_k + gain x_t
        log_p = (
            self.log_weights
            + alpha_t / total * (x_t @ c.mT)
            - 0.5 * alpha_t**2 / total * c.square().sum(1)
        )
        log_q = log_p + self._explain(c, left, gain * x_t, root_v**2, observation, operator)
        return left * ((log_q.softmax(1) - log_p.softmax(1)) @ c), root_v

    def _explain(
        self,
        c: Float[Tensor, "anchors d"],
        left: Tensor,
        rest: Signal,
        v: Tensor,
        observation: Observation,
        operator: LinearOperator,
    ) -> Float[Tensor, "batch anchors"]:
        """log N(y; A x_k, v A A^T + sigma_y^2 I), x_k = left c_k + rest, up to what does not depend
        on k.
        """
        batch, k = len(rest), len(c)
        each = operator.repeat(k)
        if operator.signals == 1:
            measured = operator.observed(operator.linear(c))[None]
        else:
            measured = each.observed(each.linear(c.repeat(batch, 1))).unflatten(0, (batch, k))
        residual = (
            observation.residual(rest)[:, None] - expand(left, measured) * measured
        ).flatten(0, 1)
        r2, s2 = (
            value.expand(batch).repeat_interleave(k)
            for value in (v.flatten(), observation.sigma_y.to(rest) ** 2)
        )
        solved = each.solve(residual, r2, s2)
        return -0.5 * inner(residual, solved).reshape(batch, k)
