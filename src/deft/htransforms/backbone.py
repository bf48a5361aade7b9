"""The learned h-transform of protein backbones, for motifs.

    shift = NN2 b_t + C_t^{1/2} NN1(x_0_hat + NN2 b_t, motif, log-SNR_t, log(sigma_y + 1e-3))

    b_t = C_t A^T (A C_t A^T + sigma_y^2 I)^{-1} residual,    C_t = s_t^2 S (S + s_t^2 I)^{-1}

with S the covariance of native chains (deft.priors.chain_spectrum), s_t = sigma_t / alpha_t, A the
rows of the motif and `residual` what is left of it after the best rigid motion of each group
(deft.operators.motif). It is deft.htransforms.learned with the white r_t^2 I replaced by C_t, what
a Gaussian chain leaves open: b_t = r_t^2 g where S is white, and where it is not the neighbours of
the motif move with it. For a Gaussian chain and a motif in a fixed frame b_t is the exact shift,
where an untrained h-transform starts: NN2 = 1 and NN1 = 0.

With bonds=True the chain is told, too, that bonds keep the length that x_0_hat has resolved
(deft.htransforms.chain_shift): b_t becomes b_t', and what NN1 adds is led through the same map.
For a Gaussian chain, which has no bonds, bonds=False is exact.

NN1 is the equivariant body (deft.networks.equivariant). It sees the chain as b_t leaves it, and
invariant features of it and of the motif (deft.htransforms.chain_features), so that it depends on
no frame of the motif. The prior is never differentiated.

With point="pivot" the prior is asked where x_t and the motif are one noisy look (deft.htransforms.
pivot), m = x_t / alpha_t + A^T (y - A x_t / alpha_t) v^2 / (v^2 + sigma_y^2) with v = s_t, and the
residual is A (m - x_0_hat); for a Gaussian chain b_t is exact again. An aligned motif is placed by
x_t for that, which is arbitrary where there is more noise than shape: above v = 2 angstrom the
prior is asked at x_t.
"""

from __future__ import annotations

from dataclasses import astuple
from functools import cache
from typing import Literal, final, get_args

import torch
from jaxtyping import Bool
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.chain_features import PAIRS, SINGLES, features
from deft.htransforms.chain_shift import Bonds, told
from deft.htransforms.sight import log_noise
from deft.likelihoods import GaussianLikelihood, Observation
from deft.networks import MLP
from deft.networks.equivariant import EquivariantBody
from deft.operators.motif import AlignedMotif, FixedMotif
from deft.priors.base import Prior
from deft.priors.chain_modes import padded_modes
from deft.priors.chain_spectrum import ChainSpectrum
from deft.priors.denoised import Asked, Denoised
from deft.types import Signal, Times, expand

Point = Literal["x_t", "pivot"]
_PLACED = 2.0  # angstrom of noise, up to which x_t says where an aligned motif lies


@final
class BackboneHTransform(HTransform):
    """A small equivariant network that reads a motif and what a backbone prior says, for chains of
    any length.

    `scale` is the prior's; `spectrum` says S, that of natives by default, and is kept with the
    weights; `point` is where the prior is asked, "x_t" or "pivot"; `bonds` whether bonds keep their
    length, as `for_prior` takes by default. `width`, `blocks`, `heads`, `pair`, `window` and `told`
    size NN1, and `nearest` says how many residues each one sees (all by default).
    """

    spectrum: Tensor
    scale: Tensor
    event_axes = "cloud"

    def __init__(
        self,
        scale: float,
        *,
        spectrum: ChainSpectrum | None = None,
        point: Point = "x_t",
        bonds: bool = False,
        width: int = 24,
        blocks: int = 2,
        heads: int = 2,
        pair: int = 16,
        window: int = 6,
        told: int = 32,
        nearest: int | None = None,
    ) -> None:
        super().__init__()
        self.where = checks.name("point", point, get_args(Point))
        sizes = {
            "width": width,
            "blocks": blocks,
            "heads": heads,
            "pair": pair,
            "window": window,
            "told": told,
        }
        self.bonds = bonds
        unusual: dict[str, object] = {"point": point} if point != "x_t" else {}
        unusual |= {"bonds": True} if bonds else {}
        unusual |= {} if nearest is None else {"nearest": nearest}
        self.config = unusual | sizes
        scale = checks.positive("scale", scale, "the standard deviation of x_0")
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("spectrum", torch.tensor(astuple(spectrum or ChainSpectrum())))
        self.nn1 = EquivariantBody(2, singles=SINGLES, pairs=PAIRS, nearest=nearest, **sizes)
        self.nn2 = MLP(2, 1, width=32, bias=1.0)

    @classmethod
    def for_prior(
        cls,
        prior: Prior,
        *,
        fraction: float = 0.09,
        point: Point = "x_t",
        bonds: bool = True,
        blocks: int = 1,
        nearest: int | None = 12,
    ) -> BackboneHTransform:
        """An h-transform with about `fraction` of the prior's parameters, of one block whose
        residues see the 12 nearest ones: what costs a fifth of `backbone-128` at 64 residues.
        Raises `InvalidInput` for a prior of something else than chains.
        """
        _of_chains(cls.__name__, prior)
        checks.share(
            "fraction", fraction, "the h-transform's share of the prior's parameters", zero=False
        )
        goal = fraction * prior.num_parameters

        def of_width(width: int, scale: float) -> BackboneHTransform:
            return cls(scale, width=width, blocks=blocks, nearest=nearest, point=point, bonds=bonds)

        @cache
        def size(width: int) -> int:
            with torch.device("meta"):
                return of_width(width, 1.0).num_parameters

        width = best = 4
        while size(width) < 1.3 * goal:
            width += 2
            best = min(best, width, key=lambda w: abs(size(w) - goal))
        return of_width(best, prior.scale)

    def check(self, prior: Prior, observation: Observation) -> None:
        """Raises `InvalidInput` for a prior that is none of chains, and for an observation that is
        no motif of its chains with Gaussian noise.
        """
        _of_chains(type(self).__name__, prior)
        operator = self._motif(observation)
        places = operator.event_shape[0] if operator.event_shape else 0
        if places != prior.event_shape[0]:
            raise InvalidInput(
                "the motif",
                given=f"one of chains with {places} places",
                expected=f"{prior.event_shape[0]} places, as {prior.name} was given",
                advice="make the motif with the length of the longest chain of its batch, and give "
                "the prior the mask: prior.of_length(...)",
            )

    def _motif(self, observation: Observation) -> AlignedMotif | FixedMotif:
        operator = observation.operator
        likelihood = observation.likelihood
        if not isinstance(operator, AlignedMotif | FixedMotif) or not isinstance(
            likelihood, GaussianLikelihood
        ):
            raise InvalidInput(
                f"{type(self).__name__} reads motifs with Gaussian noise",
                given=f"{type(operator).__name__} with {type(likelihood).__name__}",
                expected="AlignedMotif or FixedMotif (deft.operators) with GaussianLikelihood",
            )
        return operator

    @property
    def asks_elsewhere(self) -> bool:
        return self.where != "x_t"

    def point(
        self, prior: Prior, x_t: Signal, t: Times, observation: Observation
    ) -> tuple[Signal, Times]:
        if not self.asks_elsewhere:
            return x_t, t
        operator = self._motif(observation)
        alpha_t, sigma_t = prior.levels(x_t, t)
        v2, s2 = (sigma_t / alpha_t) ** 2, expand(observation.sigma_y.to(x_t) ** 2, x_t)
        lacking = operator.scattered(observation.residual(x_t / alpha_t))
        told = torch.where(_says_where(operator, v2), v2 / (v2 + s2), 0.0)
        return x_t + alpha_t * told * lacking, t

    def shift(self, denoised: Denoised | Asked, observation: Observation) -> Signal:
        x_0_hat = denoised.x_0_hat
        batch, device = len(x_0_hat), x_0_hat.device.type
        exists = residues(x_0_hat)
        noise = (denoised.sigma_t / denoised.alpha_t).flatten().expand(batch)
        numbers = torch.stack(
            [-2 * noise.log(), log_noise(observation.sigma_y.to(x_0_hat)).expand(batch)], dim=1
        )
        with torch.autocast(device, enabled=False):
            v, U = padded_modes(self._numbers, exists.sum(1).tolist(), x_0_hat)
            c = v * noise[:, None] ** 2 / (v + noise[:, None] ** 2)
            open_, colour = ((U * value[:, None]) @ U.mT for value in (c, c.sqrt()))
            lacking = self._lacking(denoised, observation)
            seen = self._motif(observation).coverage(x_0_hat)
            sigma_y = expand(observation.sigma_y.to(x_0_hat), x_0_hat)
            start, left = told(open_, seen, lacking, sigma_y)
            keep = Bonds.of(x_0_hat, exists, left).keep if self.bonds else _as_it_is
            start = keep(start)
        start = expand(self.nn2(numbers)[:, 0], start) * start
        chain = x_0_hat + start
        over, operator = self.nn1.over(chain, exists), self._motif(observation)
        singles, pairs = features(denoised, operator, chain, start, lacking, exists, over)
        learned = colour @ self.nn1(chain, exists, numbers, colour, singles, pairs, over)
        with torch.autocast(device, enabled=False):
            return start + keep(learned.to(start))

    def _lacking(self, denoised: Denoised | Asked, observation: Observation) -> Signal:
        """The residual, at the residues of the motif."""
        operator, x_0_hat = self._motif(observation), denoised.x_0_hat
        lacking = operator.scattered(observation.residual(x_0_hat))
        if not self.asks_elsewhere:
            return lacking
        known = _says_where(operator, (denoised.sigma_t / denoised.alpha_t) ** 2)
        m = denoised.there.x_t / denoised.there.alpha_t
        return torch.where(known, operator.coverage(x_0_hat) * (m - x_0_hat), lacking)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return tuple(self.spectrum.double().tolist())


def residues(x_0_hat: Signal) -> Bool[Tensor, "batch n"]:
    """Which residues exist: a backbone prior says exactly 0 after the last, and nowhere else."""
    said = (x_0_hat != 0).any(-1)
    return said.flip(1).cummax(1).values.flip(1)


def _as_it_is(shift: Signal) -> Signal:
    return shift


def _says_where(operator: AlignedMotif | FixedMotif, v2: Tensor) -> Tensor:
    """Whether x_t says where the motif lies, with noise of the variance v2."""
    return (v2 < _PLACED**2) | (not operator.symmetries)


def _of_chains(who: str, prior: Prior) -> None:
    if prior.event_axes != "cloud" or tuple(prior.event_shape[1:]) != (3,):
        raise InvalidInput(
            f"{who} reads chains of C-alpha atoms, (residues, 3)",
            given=f"a prior of a {prior.event_axes}, {tuple(prior.event_shape)}",
            expected="a backbone prior, such as backbone-128",
            advice="use LearnedHTransform for images and sequences",
        )
