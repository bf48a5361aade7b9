"""g of counts, whose entries have precisions W of their own: what is known in closed form.

linearised, J at x_0:    (r2 J^T W J + I)^{-1} J^T W residual
"""

import pytest
import torch
from torch.func import jacrev

from deft.codec import LinearCodec
from deft.likelihoods import EmissionLikelihood, GaussianLikelihood
from deft.noise import Noise
from deft.operators import JPEG, HighDynamicRange, NonlinearBlur, gaussian_kernel
from deft.operators.callable import CallableOperator
from deft.operators.composed import Composed
from deft.operators.whitened import WhitenedBlackBox

SHAPE = (1, 3, 4)


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def blur():
    return NonlinearBlur(gaussian_kernel(3, 0.6), exposure=0.8, border="circular")


def lifts():
    return CallableOperator(lambda x: 2 * x, SHAPE, lift=lambda y: y / 2)


def drawn(batch=2):
    """x_0, a residual, weights that differ a hundredfold, r2."""
    generator = torch.Generator().manual_seed(0)
    x_0, residual, log_weight = (torch.rand(3, batch, *SHAPE, generator=generator) - 0.5).unbind()
    return 0.5 * x_0, 0.05 * residual, 10 ** (2 + 2 * log_weight), torch.tensor([0.01, 1.0])[:batch]


def linearised(operator, x_0, residual, weight, r2):
    found = []
    for x, v, w, r in zip(x_0, residual, weight.flatten(1), r2, strict=True):
        j = jacrev(lambda one: operator.surrogate(one[None])[0])(x).reshape(12, 12)
        normal = r * j.T @ torch.diag(w) @ j + torch.eye(12)
        found.append(torch.linalg.solve(normal, j.T @ (w * v.flatten())).reshape(SHAPE))
    return torch.stack(found)


@pytest.mark.parametrize("make", [HighDynamicRange, blur], ids=["clipped", "blurred"])
def test_an_operator_that_solves_its_equations_weighs_each_entry_in_them(make):
    operator, given = make(), drawn()
    torch.testing.assert_close(
        operator.weighted_pull(*given), linearised(operator, *given), rtol=0.01, atol=0.01
    )


def test_a_precise_count_moves_as_far_as_it_says_and_no_farther():
    """Weighted residuals in equations of one noise level sent it a hundred times too far."""
    likelihood = EmissionLikelihood(HighDynamicRange(2.0, (0.0, 1e6)), 1e-3)
    x_0 = torch.ones(1, 1, 15, 20)
    x_0[..., 0, 0] = 0.01  # a count of little variance
    y = likelihood.operator(x_0)
    estimate = x_0 - 0.01
    for r in (0.1, 1.0):
        moved = r * likelihood.guidance(estimate, torch.tensor([r]), y)
        assert float(moved.min()) > 0.005
        assert float(moved.max()) < 0.0101


def test_any_other_takes_one_slope_of_what_is_white():
    """J^T W residual / (r2 L^2 + 1), L the slope of W^(1/2) A along it, by hand."""
    operator = CallableOperator(torch.sin, SHAPE, differentiable=True)
    x_0, residual, weight, r2 = drawn()
    toward = x_0.cos() * weight * residual
    unit = toward / toward.flatten(1).norm(dim=1)[:, None, None, None]
    far = (12 * r2).sqrt()[:, None, None, None]
    moved = weight.sqrt() * ((x_0 + far * unit).sin() - x_0.sin())
    slope = moved.flatten(1).norm(dim=1) / far.flatten()
    least = toward.flatten(1).norm(dim=1) / (weight.sqrt() * residual).flatten(1).norm(dim=1)
    expected = toward / (r2 * torch.maximum(slope, least) ** 2 + 1)[:, None, None, None]
    torch.testing.assert_close(operator.weighted_pull(x_0, residual, weight, r2), expected)


@pytest.mark.parametrize(
    "make",
    [HighDynamicRange, blur, lambda: CallableOperator(torch.sin, SHAPE, differentiable=True)],
    ids=["clipped", "blurred", "any other"],
)
def test_behind_a_codec_the_weights_stay_those_of_y(make):
    operator, (x_0, residual, weight, r2) = make(), drawn()
    behind = Composed(operator, LinearCodec(torch.eye(12), SHAPE, SHAPE))
    found = behind.weighted_pull(x_0, residual, weight, r2)
    torch.testing.assert_close(found, operator.weighted_pull(x_0, residual, weight, r2))


@pytest.mark.parametrize(
    "make",
    [HighDynamicRange, blur, lifts, lambda: JPEG(50)],
    ids=["clipped", "blurred", "black box", "jpeg"],
)
def test_one_weight_is_one_noise_level(make):
    operator, (x_0, residual, _, r2) = make(), drawn()
    found = operator.weighted_pull(x_0, residual, torch.full_like(residual, 25.0), r2)
    if isinstance(operator, JPEG):  # its cells are for one noise level
        assert found.isfinite().all()
        return
    expected = operator.pull(x_0, residual, r2, torch.tensor([0.04]))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_black_box_with_noise_of_its_own_for_each_entry():
    """Exact for a multiple of the identity and one level; no derivative is asked for."""
    x_0, residual, weight, r2 = drawn()
    likelihood = GaussianLikelihood(lifts(), weight.rsqrt())
    y = likelihood.operator(x_0) + residual
    white = likelihood.plain(y)[1]
    assert isinstance(white.operator, WhitenedBlackBox)
    moved = likelihood.guidance(x_0, r2.sqrt(), y)
    assert (moved.sign() == residual.sign()).all()
    assert (r2.sqrt()[:, None, None, None] * moved).abs().le((residual / 2).abs() + 1e-9).all()
    same = GaussianLikelihood(lifts(), torch.full_like(weight, 0.2)).guidance(x_0, r2.sqrt(), y)
    torch.testing.assert_close(same, GaussianLikelihood(lifts(), 0.2).guidance(x_0, r2.sqrt(), y))
    assert likelihood.sample(x_0, Noise([0, 1])).shape == x_0.shape
