"""Weighted samples: how exact a sampler was, and what it says of the evidence.

    w_j ~ p(x_j) p(y | x_j) / q(x_j)

    log p(y) ~ logsumexp(log w) - log N,    ESS = (sum w)^2 / sum w^2

The relative variance of the estimate of p(y) is (N / ESS - 1) / (N - 1); where particles were
resampled, it comes from their ancestors (`relative_variance`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deft.errors import InvalidInput, WeightsNotFinite
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import Seed, observation_seeds
from deft.samplers.base import Sampling
from deft.samplers.ddim import DDIM

COLLAPSED = 2.0


@final
@dataclass(frozen=True)
class WeightedSamples:
    """Samples with weights: averages under `weights` are averages under the posterior, as the
    number of samples grows.

    `log_evidence` estimates log p(y) in nats, with its `standard_error` (infinite where resampling
    has left one ancestor only, from which nothing can be said); both are None where the likelihood
    is no density of y (`ForwardOperator.density`): then there is no evidence. `ess_by_step` holds
    the effective sample size at every step, before resampling, the last one that of the samples
    given; its minimum says how far to trust them.
    """

    x_0: Float[Tensor, "observations samples *event"]
    log_weights: Float[Tensor, "observations samples"]
    log_evidence: Float[Tensor, " observations"] | None
    standard_error: Float[Tensor, " observations"] | None
    ess_by_step: Float[Tensor, "observations steps"]
    resampled: Int[Tensor, " observations"]

    @property
    def weights(self) -> Float[Tensor, "observations samples"]:
        """The weights of the samples, which sum to 1."""
        return self.log_weights.softmax(1)

    @property
    def effective_sample_size(self) -> Float[Tensor, " observations"]:
        """The effective sample size of the samples given."""
        return effective_sample_size(self.log_weights)

    @property
    def lowest_ess(self) -> Float[Tensor, " observations"]:
        """The smallest effective sample size of the run."""
        return self.ess_by_step.amin(1)

    @property
    def collapsed(self) -> Tensor:
        """Where the weights were, at some step, on fewer than two samples: there the samples say
        little.
        """
        return self.lowest_ess < COLLAPSED

    def mean(self) -> Float[Tensor, " observations *event"]:
        """The average of the samples under their weights: an estimate of E[x_0 | y]."""
        return torch.einsum("ns,ns...->n...", self.weights.to(self.x_0), self.x_0)

    def resample(
        self, num_samples: int, *, seed: Seed = 0
    ) -> Float[Tensor, "observations samples *event"]:
        """`num_samples` samples of equal weight for each observation, seeded as in `Sampler`; one
        may come several times.
        """
        noise = Noise(observation_seeds(seed, len(self.x_0)), dtype=torch.float64)
        ancestors = systematic(
            self.log_weights, noise.uniform(0).to(self.log_weights.device), num_samples
        )
        return (
            torch.stack([x_0[index] for x_0, index in zip(self.x_0, ancestors)])
            if len(self.x_0)
            else self.x_0[:, :0]
        )

    def card(self) -> list[dict[str, object]]:
        """What a result says of each observation, as JSON knows it; a standard error that is not
        known is None.
        """
        return [
            {
                "log_evidence": _known(self.log_evidence, i),
                "standard_error": _known(self.standard_error, i),
                "samples": self.x_0.shape[1],
                "effective_sample_size": float(self.effective_sample_size[i]),
                "lowest_ess": float(self.lowest_ess[i]),
                "resampled": int(self.resampled[i]),
                "collapsed": bool(self.collapsed[i]),
            }
            for i in range(len(self.x_0))
        ]

    def __str__(self) -> str:
        lines = []
        for i, card in enumerate(self.card()):
            error = (
                f"{card['standard_error']:.2g}"
                if card["standard_error"] is not None
                else "not known"
            )
            evidence = (
                "no log p(y), for the likelihood is no density of y"
                if card["log_evidence"] is None
                else f"log p(y) = {card['log_evidence']:.4g} ± {error}"
            )
            line = (
                f"observation {i}: {evidence}, "
                f"effective sample size {card['effective_sample_size']:.1f} of {card['samples']}, "
                f"at its lowest {card['lowest_ess']:.1f}"
            )
            lines.append(
                line
                + (
                    "; the weights collapsed: samples and log p(y) are not to be trusted"
                    if card["collapsed"]
                    else ""
                )
            )
        return "\n".join(lines)


def _known(values: Tensor | None, i: int) -> float | None:
    """A number as JSON knows it; None where there is none, or it is not finite."""
    value = math.nan if values is None else float(values[i])
    return value if math.isfinite(value) else None


def effective_sample_size(log_weights: Float[Tensor, "*batch samples"]) -> Float[Tensor, "*batch"]:
    """(sum w)^2 / sum w^2, between 1 and the number of samples; 0 where every weight is 0.

    Kong, Liu & Wong 1994, doi:10.1080/01621459.1994.10476469.
    """
    log_w = log_weights.double()
    return (2 * log_w.logsumexp(-1) - (2 * log_w).logsumexp(-1)).exp().nan_to_num(0.0)


def log_evidence(
    log_weights: Float[Tensor, "*batch samples"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """logsumexp(log w) - log N, which estimates log p(y), and its standard error, for independent
    samples.

    The standard error is that of log of a mean, to first order: sd(w) / (mean(w) sqrt(N)); it is
    itself too small where the effective sample size is small.
    """
    log_w = log_weights.double()
    n = log_w.shape[-1]
    own = torch.arange(n, device=log_w.device).expand(log_w.shape)
    return log_w.logsumexp(-1) - math.log(n), relative_variance(log_w, own).sqrt()


def relative_variance(
    log_weights: Float[Tensor, "*batch samples"], ancestors: Int[Tensor, "*batch samples"]
) -> Float[Tensor, "*batch"]:
    """The variance of the estimate of p(y) over its square, from the first ancestor of every
    sample.

        V = 1 - N / (N - 1) (1 - sum_e (sum_{j from e} W_j)^2),    W = w / sum w

    Lee & Whiteley 2018, arXiv:1509.00394, eq. 5, for systematic resampling: their factor is N / (N
    - 1) to the power of one more than the number of resamplings, which takes off a noise in the
    sizes of families that multinomial resampling has and systematic resampling has not. Without
    resampling V = (N / ESS - 1) / (N - 1), the variance of a mean. Infinite where one ancestor is
    left.
    """
    n = log_weights.shape[-1]
    weights = log_weights.double().softmax(-1)
    families = torch.zeros_like(weights).scatter_add_(-1, ancestors, weights)
    variance = (1 - n / max(n - 1, 1) * (1 - families.square().sum(-1))).clamp(min=0)
    alone = (ancestors == ancestors[..., :1]).all(-1)
    return torch.where(alone, torch.full_like(variance, math.inf), variance)


def systematic(
    log_weights: Float[Tensor, "batch samples"],
    u: Float[Tensor, " batch"],
    num_samples: int | None = None,
) -> Int[Tensor, "batch chosen"]:
    """Which samples survive: sample j comes N w_j times on average, and never more than one more or
    one fewer.

        the sample in whose part of [0, 1], cut up by the cumulative weights, (u + i) / N falls,
        i = 0, ..., N - 1

    Kitagawa 1996, doi:10.2307/1390750; one uniform draw `u` for each row. N is `num_samples`, by
    default the number that there are.
    """
    n = num_samples if num_samples is not None else log_weights.shape[1]
    edges = log_weights.double().softmax(1).cumsum(1)
    edges = edges / edges[:, -1:]
    places = (torch.arange(n, device=edges.device) + u.double()[:, None]) / max(n, 1)
    return torch.searchsorted(edges, places, right=True).clamp(max=log_weights.shape[1] - 1)


def weighable(prior: Prior, what: str) -> Posterior:
    """The posterior, if its samples can have weights; raises `InvalidInput` where not."""
    if not isinstance(prior, Posterior):
        raise InvalidInput(
            f"{what} weighs samples by p(y | x_0) and needs a Posterior(prior, h_transform, "
            f"observation); got {prior.name}."
        )
    silent = (prior.observation.sigma_y == 0).nonzero().flatten().tolist()
    if silent:
        raise InvalidInput(
            f"{what} needs a density p(y | x_0), and a measurement without noise has none",
            given=f"sigma_y = 0 (observation {silent[0]})",
            expected="a sigma_y > 0",
            advice="give the noise that there is, or sample without weights: use the sampler "
            "DDIM, Heun or DPMSolver",
        )
    return prior


def has_density(eta: float, what: str) -> float:
    """eta, if steps with it have a density; raises `InvalidInput` where not."""
    if not 0 < eta <= 1:
        raise InvalidInput(
            f"{what} needs steps with a density, which is 0 < eta <= 1 (1 is DDPM); got eta = "
            f"{eta:g}. "
            "Deterministic samplers (DDIM with eta = 0, Heun, DPMSolver) have no weights; use "
            "them without."
        )
    return eta


def gaussian_steps(sampler: Sampling, what: str) -> DDIM:
    """The sampler, if its steps have a density that is known; raises `InvalidInput` where not."""
    if not isinstance(sampler, DDIM):
        raise InvalidInput(
            f"{what} needs steps of one evaluation and one Gaussian draw; "
            f"{type(sampler).__name__} has others; use DDIM with eta > 0."
        )
    has_density(sampler.eta, what)
    return sampler


def check_finite(
    log_weights: Float[Tensor, " batch"], owner: Int[Tensor, " batch"], where: str
) -> None:
    """Raise `WeightsNotFinite`, which says at which step and for which observation (`owner` holds
    that of each sample).
    """
    broken = ~log_weights.isfinite()
    if bool(broken.any()):
        observation = owner[broken.cpu()][0]
        raise WeightsNotFinite(
            f"{int(broken[owner == observation].sum())} of {int((owner == observation).sum())} "
            f"log weights of observation {int(observation)} are not finite at "
            f"{where}. A proposal that diverges does this (a guidance weight too large, too few "
            "steps), or a sigma_y too small for the precision of the prior."
        )
