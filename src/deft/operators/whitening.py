"""What makes noise white, and of one standard deviation per signal.

    y = A(x_0) + n,    n ~ N(0, C)
    W = s L^{-1},      C = L L^T,      1 / s^2 = trace(C^{-1}) / m
    W y = W A(x_0) + s eps,    eps ~ N(0, I)

s is the noise that tells as much of a measurement as C does on average, so that W is the identity
where C = s^2 I: what was trained for one standard deviation reads numbers of its own size. W is an
operator between measurements:

    a deviation sigma_i for each entry      W = diag(s / sigma_i)
    C a symmetric spectral operator         W = s C^{-1/2}
    C any other operator, of few entries    W = s L^{-1}, L the Cholesky factor of its matrix
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.operators.base import LinearOperator, SpectralOperator
from deft.operators.checked import Shape
from deft.types import Measurement, Times, expand

_MOST = 4096  # entries of a measurement whose covariance is written out
_LEAST = 1e-10  # of the largest singular value of a covariance: less is a covariance of no noise
_SYMMETRIC = 1e-3  # of the length of a probe: what rounding in single precision makes


class Whitening(LinearOperator):
    """W, invertible, between measurements; `diagonal` where each entry is its own."""

    diagonal: bool = False

    @abstractmethod
    def inverse(self, y: Measurement) -> Measurement:
        """W^{-1} y."""

    @abstractmethod
    def log_volume(self, observed: Measurement) -> Tensor:
        """log |det W| over the entries where `observed` is not 0: one number per signal."""


@final
class EntryWeights(SpectralOperator, Whitening):
    """W = diag(weights), one for each entry, (batch or 1, *measurement), all > 0."""

    weights: Tensor
    diagonal = True

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        if weights.ndim < 2 or not bool((weights > 0).all()):
            raise InvalidInput(
                "weights",
                given=f"a tensor of shape {tuple(weights.shape)}",
                expected="(batch or 1, *measurement), numbers > 0",
            )
        self.per_signal("weights", weights)

    def signal_shape(self) -> Shape:
        return tuple(self.weights.shape[1:])

    def measurement_shape(self) -> Shape:
        return tuple(self.weights.shape[1:])

    def forward(self, x_0: Measurement) -> Measurement:
        return self.weights.to(x_0.dtype) * x_0

    def adjoint(self, y: Measurement) -> Measurement:
        return self.weights.to(y.dtype) * y

    def inverse(self, y: Measurement) -> Measurement:
        return y / self.weights.to(y.dtype)

    def log_volume(self, observed: Measurement) -> Tensor:
        return torch.where(observed != 0, self.weights.to(observed).log(), 0.0).flatten(1).sum(1)

    def singular_values(self, like: Tensor) -> Tensor:
        return self.weights.to(like.dtype)

    def v_t(self, x_0: Measurement) -> Tensor:
        return x_0

    def v(self, coefficients: Tensor) -> Measurement:
        return coefficients

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients


@final
class RootWhitening(Whitening):
    """W = s C^{-1/2}, of a covariance C = U diag(c) U^T whose decomposition is known."""

    def __init__(self, covariance: SpectralOperator, level: float) -> None:
        super().__init__()
        self.covariance, self.level = covariance, level

    def _power(self, v: Measurement, exponent: float) -> Measurement:
        held = next((b for b in self.covariance.buffers() if b.is_floating_point()), v)
        c = self.covariance.u_t(v.to(held.dtype))
        return self.covariance.u(self.covariance.singular_values(c) ** exponent * c).to(v.dtype)

    def forward(self, x_0: Measurement) -> Measurement:
        return self.level * self._power(x_0, -0.5)

    def adjoint(self, y: Measurement) -> Measurement:
        return self.level * self._power(y, -0.5)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """(r2 s^2 C^{-1} + s2 I)^{-1} v."""
        c = self.covariance.u_t(v)
        r2, s2 = expand(torch.as_tensor(r2), c).to(c), expand(torch.as_tensor(s2), c).to(c)
        precision = self.level**2 / self.covariance.singular_values(c)
        return self.covariance.u(c / (r2 * precision + s2))

    def inverse(self, y: Measurement) -> Measurement:
        return self._power(y, 0.5) / self.level

    def log_volume(self, observed: Measurement) -> Tensor:
        c = self.covariance.u_t(observed)
        root = (self.level**2 / self.covariance.singular_values(c).to(c)).expand_as(c)
        return 0.5 * root.log().flatten(1).sum(1)


@final
class CholeskyWhitening(Whitening):
    """W = s L^{-1}, of the Cholesky factor L, (m, m), of a covariance between few entries."""

    factor: Tensor

    def __init__(self, factor: Tensor, level: float, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.level, self.event_shape = level, event_shape

    def measurement_shape(self) -> Shape | None:
        return self.event_shape

    def forward(self, x_0: Measurement) -> Measurement:
        return self.level * self._solved(x_0, transposed=False)

    def adjoint(self, y: Measurement) -> Measurement:
        return self.level * self._solved(y, transposed=True)

    def inverse(self, y: Measurement) -> Measurement:
        return (y.flatten(1) @ self.factor.to(y).T / self.level).reshape(y.shape)

    def log_volume(self, observed: Measurement) -> Tensor:
        volume = (self.level / self.factor.diagonal()).log().sum()
        return volume.to(observed).expand(len(observed))

    def _solved(self, v: Measurement, *, transposed: bool) -> Measurement:
        factor = self.factor.to(v)
        factor = factor.T if transposed else factor
        solved = torch.linalg.solve_triangular(factor, v.flatten(1).T, upper=transposed)
        result: Tensor = solved.T.reshape(v.shape)
        return result


def of_deviations(sigma_y: Tensor, observed: Tensor) -> tuple[EntryWeights, Tensor]:
    """W of a standard deviation for each entry, and s for each signal; entries that are not
    observed have no noise, whatever is said of them. Raises `InvalidInput` unless the others are
    finite and > 0.
    """
    seen = observed != 0
    bad = seen & ~((sigma_y > 0) & sigma_y.isfinite())
    if bool(bad.any()):
        raise InvalidInput(
            "sigma_y",
            given=f"{int(bad.sum())} of {int(seen.sum())} standard deviations that are not finite "
            f"numbers > 0, such as {float(sigma_y.expand_as(bad)[bad][0]):g}",
            expected="a finite standard deviation > 0 for each entry of y",
            advice="leave out what is no measurement by the operator's mask, and give one number "
            "for noise that is the same everywhere (0 for none)",
        )
    safe = torch.where(seen, sigma_y, torch.ones_like(sigma_y))
    precision = torch.where(seen, safe**-2, torch.zeros_like(safe)).flatten(1).sum(1)
    level = (precision / seen.flatten(1).sum(1).clamp(min=1)).clamp(min=1e-30).rsqrt()
    return EntryWeights(torch.where(seen, expand(level, safe) / safe, 1.0)), level


def of_covariance(covariance: LinearOperator, shape: tuple[int, ...]) -> tuple[Whitening, float]:
    """W of a covariance between the entries of a measurement of this shape, and s. Raises
    `InvalidInput` where it is none: not symmetric, or without noise in some direction.
    """
    held = next((b for b in covariance.buffers() if b.is_floating_point()), torch.zeros(1))
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, *shape, generator=generator).to(held)
    spectral = _spectrum(covariance, probe)
    if spectral is not None:
        level = float((1 / spectral).mean().rsqrt())
        return RootWhitening(covariance, level), level  # type: ignore[arg-type]
    m = probe[0].numel()
    if m > _MOST:
        raise InvalidInput(
            "sigma_y",
            given=f"a covariance of {m:,} entries by {type(covariance).__name__}",
            expected=f"a symmetric SpectralOperator (a CircularBlur, say), or at most {_MOST:,} "
            "entries",
            advice="give a standard deviation for each entry, if they are independent",
        )
    eye = torch.eye(m, dtype=held.dtype, device=held.device).reshape(m, *shape)
    matrix = covariance.linear(eye).reshape(m, m).T.double()
    scale = matrix.abs().max()
    if not bool((matrix - matrix.T).abs().max() <= _SYMMETRIC * scale):
        raise _no_covariance("a map that is not symmetric")
    factor, info = torch.linalg.cholesky_ex((matrix + matrix.T) / 2)
    if int(info) or not bool(factor.diagonal().min() ** 2 > _LEAST * scale):
        raise _no_covariance("a map that is not positive definite")
    inverse = torch.linalg.solve_triangular(factor, torch.eye(m).to(factor), upper=False)
    level = float((inverse.square().sum() / m).rsqrt())
    return CholeskyWhitening(factor.to(held.dtype), level, shape), level


def _spectrum(covariance: LinearOperator, probe: Tensor) -> Tensor | None:
    """The eigenvalues of a covariance whose decomposition U diag(c) U^T is known, for each entry;
    None where it is not, or is not symmetric.
    """
    if not isinstance(covariance, SpectralOperator):
        return None
    c = covariance.u_t(probe)
    complete = c.numel() == probe.numel()
    if not complete or not torch.allclose(
        covariance.v(c), probe, atol=_SYMMETRIC * float(probe.abs().max())
    ):
        return None
    values = covariance.singular_values(c).expand_as(c)
    if not bool(values.min() > _LEAST * values.max()):
        raise _no_covariance("a map that is not positive definite")
    return values


def _no_covariance(given: str) -> InvalidInput:
    return InvalidInput(
        "sigma_y",
        given=given,
        expected="a covariance of the noise: symmetric, with noise in every direction",
    )
