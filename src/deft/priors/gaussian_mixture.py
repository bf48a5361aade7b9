"""Gaussian mixtures, for which everything is known: the referee of every test.

    p(x_0)       = sum_k w_k N(m_k, C_k)
    p_t(x_t)     = sum_k w_k N(alpha_t m_k, alpha_t^2 C_k + sigma_t^2 I)
    E[x_0 | x_t] = sum_k r_k(x_t) (m_k + alpha_t C_k (alpha_t^2 C_k + sigma_t^2 I)^{-1} (x_t
        - alpha_t m_k)),    r_k = p(k | x_t)

Given y = A x_0 + sigma_y eps the posterior is again a mixture,

    S_k = A C_k A^T + sigma_y^2 I,    w_k' ~ w_k N(y; A m_k, S_k),
    m_k' = m_k + C_k A^T S_k^+ (y - A m_k),    C_k' = C_k - C_k A^T S_k^+ A C_k

and since a posterior is a prior, its denoiser is E[x_0 | x_t, y]. All of it is computed in double
precision. Components that have one covariance in common (then their posteriors have, too) share its
axes, in which

    E[x_0 | x_t] = m + alpha_t C (alpha_t^2 C + sigma_t^2 I)^{-1} (x_t - alpha_t m),
    m = sum_k r_k(x_t) m_k

costs two products with the axes, however many components there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.schedules import Schedule
from deft.types import LogProb, Signal, Times

_RANK = 1e-10


@final
class GaussianMixture(Prior):
    """A mixture of K Gaussians: exact denoiser, exact marginals, exact posteriors.

    `means` is (K, *event); `covariances` holds one variance per component (K,) or one matrix per
    component (K, d, d) over the flattened event; `weights` is (K,), uniform if left out. A
    posterior given several observations is one mixture per observation (`num_observations`).
    """

    log_weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor | None

    def __init__(
        self, means: Tensor, covariances: Tensor, weights: Tensor | None, schedule: Schedule
    ) -> None:
        k, event_shape = len(means), tuple(means.shape[1:])
        d = math.prod(event_shape)
        if covariances.shape not in ((k,), (k, d, d)):
            raise InvalidInput(
                f"covariances of {k} components in {d} dimensions are ({k},) or ({k}, {d}, {d}); "
                f"got {tuple(covariances.shape)}."
            )
        weights = torch.ones(k) if weights is None else weights
        if not k:
            raise InvalidInput(
                "means",
                given=f"numbers of shape {tuple(means.shape)}",
                expected="one component or more",
            )
        for what, numbers in (("means", means), ("covariances", covariances), ("weights", weights)):
            if not numbers.is_floating_point() or not bool(numbers.isfinite().all()):
                raise InvalidInput(
                    what,
                    given="NaN, infinite values or no floating-point numbers",
                    expected="finite floating-point numbers",
                )
        if weights.shape != (k,) or not bool((weights > 0).all()):
            raise InvalidInput(f"weights are {k} positive numbers; got {weights.tolist()}.")
        if bool((covariances == covariances[:1]).all()):
            covariances = covariances[:1]
        if covariances.ndim == 1:
            variances, axes = covariances[:, None].expand(-1, d), None
        else:
            variances, axes = torch.linalg.eigh(covariances.double())
        if not bool((variances >= -1e-6 * variances.abs().max()).all()):
            raise InvalidInput(
                "covariances must be positive semi-definite; the smallest eigenvalue is "
                f"{variances.min().item():g}."
            )
        self._assign(
            schedule,
            event_shape,
            (weights / weights.sum()).log()[None],
            means.flatten(1)[None],
            variances[None],
            None if axes is None else axes[None],
            means.dtype,
        )

    def _assign(
        self,
        schedule: Schedule,
        event_shape: tuple[int, ...],
        log_weights: Tensor,
        means: Tensor,
        variances: Tensor,
        axes: Tensor | None,
        dtype: torch.dtype,
    ) -> None:
        """Everything with an axis of observations in front: (n, K), (n, K, d), (n, K or 1, d), (n,
        K or 1, d, d).
        """
        Prior.__init__(self)
        self.schedule, self.event_shape = schedule, event_shape
        self.register_buffer("log_weights", log_weights.to(dtype))
        self.register_buffer("means", means.to(dtype))
        self.register_buffer("variances", variances.clamp(min=0).to(dtype))
        self.register_buffer("axes", None if axes is None else axes.to(dtype))
        weights = log_weights.double().softmax(1)[..., None]
        spread = means.double() - (weights * means.double()).sum(1, keepdim=True)
        self.scale = float((weights * (variances.double() + spread**2)).sum(1).mean().sqrt())

    @property
    def num_observations(self) -> int:
        return len(self.means)

    def take(self, index: Sequence[int] | Tensor) -> GaussianMixture:
        if self.num_observations == 1:
            return self
        index = torch.as_tensor(index, device=self.means.device)
        axes = None if self.axes is None else self.axes[index]
        return self._like(self.log_weights[index], self.means[index], self.variances[index], axes)

    def _like(
        self, log_weights: Tensor, means: Tensor, variances: Tensor, axes: Tensor | None
    ) -> GaussianMixture:
        other = GaussianMixture.__new__(GaussianMixture)
        other._assign(
            self.schedule, self.event_shape, log_weights, means, variances, axes, self.means.dtype
        )
        return other

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self._levels(x_t, t)
        z, log_joint = self._components(x_t, alpha_t, sigma_t)
        v, responsibility = self.variances.double(), log_joint.softmax(1)[:, None]
        gain = alpha_t * v / (alpha_t**2 * v + sigma_t**2)
        if v.shape[1] == 1:
            mean = responsibility @ self._to_axes(self.means.double())
            x_0_hat = self._from_axes(mean + gain * (z - alpha_t * mean))
        else:
            x_0_hat = responsibility @ (self.means.double() + self._from_axes(gain * z))
        return x_0_hat.to(x_t.dtype).reshape(x_t.shape)

    def log_prob(self, x_t: Signal, t: Times) -> LogProb:
        """log p_t(x_t)."""
        return self._components(x_t, *self._levels(x_t, t))[1].logsumexp(1).to(x_t.dtype)

    def sample(self, noise: Noise) -> Signal:
        """One x_0 for each seed of `noise`; where there are several observations, seed i draws from
        posterior i.
        """
        u = noise.uniform(0).double().to(self.means.device)
        weights = self.log_weights.double().softmax(1).expand(len(noise), -1)
        k = (weights.cumsum(1) < u[:, None]).sum(1).clamp(max=weights.shape[1] - 1)
        z = noise.normal(1, (math.prod(self.event_shape),)).double().to(self.means.device)[:, None]
        draws = self.means.double() + self._from_axes(self.variances.double().sqrt() * z)
        chosen = draws.gather(1, k[:, None, None].expand(-1, 1, math.prod(self.event_shape)))[:, 0]
        return chosen.to(noise.dtype).reshape(len(noise), *self.event_shape)

    def initial(self, noise: Noise) -> Signal:
        """An exact draw from p_1."""
        one = torch.ones(1, dtype=torch.float64)
        alpha_1, sigma_1 = self.schedule.alpha(one).item(), self.schedule.sigma(one).item()
        return alpha_1 * self.sample(noise.stream(0)) + sigma_1 * self.noise(noise, 0)

    def posterior(
        self, a: Float[Tensor, "#n m d"], y: Float[Tensor, "n m"], sigma_y: Float[Tensor, "#n"]
    ) -> GaussianMixture:
        """p(x_0 | y) for y = A x_0 + sigma_y eps, one mixture per observation; sigma_y = 0 is
        allowed.
        """
        return self._condition(a, y, sigma_y)[0]

    def evidence(
        self, a: Float[Tensor, "#n m d"], y: Float[Tensor, "n m"], sigma_y: Float[Tensor, "#n"]
    ) -> Float[Tensor, " n"]:
        """log p(y), needs sigma_y > 0."""
        if not bool((sigma_y > 0).all()):
            raise InvalidInput(
                "a measurement without noise (sigma_y = 0) has no density; give a sigma_y > 0."
            )
        return self._condition(a, y, sigma_y)[1].to(y.dtype)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (n, *event) and covariance (n, d, d) of x_0, one each per observation."""
        weights, means = self.log_weights.double().softmax(1), self.means.double()
        mean = (weights[..., None] * means).sum(1)
        spread = means - mean[:, None]
        within = (weights[..., None, None] * self._covariances()).sum(1)
        between = torch.einsum("nk,nki,nkj->nij", weights, spread, spread)
        return mean.reshape(-1, *self.event_shape), within + between

    def _condition(self, a: Tensor, y: Tensor, sigma_y: Tensor) -> tuple[GaussianMixture, Tensor]:
        """The posterior and log p(y); where S_k is singular its pseudo-inverse and
        pseudo-determinant are taken.
        """
        a, y, s2 = a.double()[:, None], y.double()[:, None], sigma_y.double()[:, None, None] ** 2
        means, covariances = self.means.double(), self._covariances()
        cross = covariances @ a.mT
        eigenvalues, u = torch.linalg.eigh(a @ cross)
        seen = eigenvalues > _RANK * eigenvalues.amax((1, 2), keepdim=True)
        total = torch.where(seen, eigenvalues, 0.0) + s2
        regular = total > 0
        inverse = torch.where(regular, 1 / torch.where(regular, total, 1.0), 0.0)
        log_total = torch.where(
            regular, torch.where(regular, total, 1.0).log() + math.log(2 * math.pi), 0.0
        )

        innovation = (u.mT @ (y - (a @ means[..., None])[..., 0])[..., None])[..., 0]
        gain = cross @ u
        new_means = means + (gain @ (inverse * innovation)[..., None])[..., 0]
        new_covariances = covariances - gain @ (inverse[..., None] * gain.mT)
        log_joint = self.log_weights.double() - 0.5 * (inverse * innovation**2 + log_total).sum(-1)

        variances, axes = torch.linalg.eigh((new_covariances + new_covariances.mT) / 2)
        return self._like(
            log_joint.log_softmax(1), new_means, variances, axes
        ), log_joint.logsumexp(1)

    def _covariances(self) -> Tensor:
        v = self.variances.double()
        if self.axes is None:
            return torch.diag_embed(v)
        axes = self.axes.double()
        return axes @ (v[..., None] * axes.mT)

    def _levels(self, x_t: Tensor, t: Times) -> tuple[Tensor, Tensor]:
        t = t.double()
        return self.schedule.alpha(t).to(x_t.device)[:, None, None], self.schedule.sigma(t).to(
            x_t.device
        )[:, None, None]

    def _components(self, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        """x_t in the shared axes, or x_t - alpha_t m_k in the axes of each component, and log w_k
        N(x_t; k).
        """
        total = alpha_t**2 * self.variances.double() + sigma_t**2
        x, means = x_t.flatten(1).double()[:, None], self.means.double()
        if total.shape[1] == 1:
            z, centres = self._to_axes(x), alpha_t * self._to_axes(means)
            square = (
                (z**2 / total).sum(-1)
                - 2 * ((z / total) @ centres.mT)[:, 0]
                + (centres**2 / total).sum(-1)
            )
        else:
            z = self._to_axes(x - alpha_t * means)
            square = (z**2 / total).sum(-1)
        return z, self.log_weights.double() - 0.5 * (
            square + (total.log() + math.log(2 * math.pi)).sum(-1)
        )

    def _to_axes(self, x: Tensor) -> Tensor:
        return x if self.axes is None else self._turn(x, self.axes.double())

    def _from_axes(self, z: Tensor) -> Tensor:
        return z if self.axes is None else self._turn(z, self.axes.double().mT)

    @staticmethod
    def _turn(x: Tensor, axes: Tensor) -> Tensor:
        """x @ axes for each signal; one large product where one observation's axes serve all."""
        if axes.shape[1] > 1:
            return (x[..., None, :] @ axes)[..., 0, :]
        return x @ axes[0, 0] if len(axes) == 1 else x @ axes[:, 0]
