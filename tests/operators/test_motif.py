"""Motifs: rows of a chain, in its frame or up to a rigid motion of each group."""

import math
from functools import partial

import pytest
import torch

from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import AlignedMotif, FixedMotif, Motif
from deft.operators.base import LinearOperator
from tests.contracts.operator import OperatorContract, SpectralOperatorContract
from tests.refusal import refused
from tests.test_geometry import rotations

LENGTH, ROWS = 14, 6


def drawn(seeds, length=LENGTH, rows=ROWS):
    """Motifs of different lengths, in two groups: index and group."""
    index = torch.full((len(seeds), rows), -1)
    group = torch.full((len(seeds), rows), -1)
    for i, seed in enumerate(seeds):
        m = 2 + seed % (rows - 1)
        order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
        index[i, :m] = order[:m]
        group[i, :m] = torch.arange(m) >= 3
    return index, group


class _Motifs:
    event_shape = (LENGTH, 3)
    coverage_shape = (LENGTH, 1)


class TestFixedMotif(_Motifs, SpectralOperatorContract):
    def make(self, seeds):
        return Motif(*drawn(seeds), LENGTH, frame="fixed")


class TestOneFixedMotifForAll(_Motifs, SpectralOperatorContract):
    def make(self, seeds):
        return FixedMotif(torch.tensor([[3, 4, 5, -1, 0]]), None, LENGTH)


class TestAlignedMotif(_Motifs, OperatorContract):
    def make(self, seeds):
        return Motif(*drawn(seeds), LENGTH)


def observations(batch=4, frame="aligned", sigma_y=0.2):
    """Chains and what is seen of them."""
    x_0 = 8 * torch.randn(batch, LENGTH, 3, dtype=torch.float64)
    operator = Motif(*drawn(range(1, batch + 1)), LENGTH, frame)
    likelihood = GaussianLikelihood(operator, torch.full((batch,), sigma_y, dtype=torch.float64))
    y = likelihood.sample(x_0, Noise(range(batch), dtype=torch.float64))
    return x_0, Observation(y, likelihood)


def moved(y, group, seed=0):
    """y after an own rigid motion of each group of each signal."""
    batch = len(y)
    result = y.clone()
    for g in (0, 1):
        there = y @ rotations(batch, seed + g).mT + 20 * torch.randn(batch, 1, 3, dtype=y.dtype)
        result = torch.where((group == g)[..., None], there, result)
    return result


def test_nothing_depends_on_the_frame_in_which_a_group_came():
    x_0, observation = observations()
    operator, likelihood = observation.operator, observation.likelihood
    x = x_0 + torch.randn_like(x_0)
    other = moved(observation.y, operator.group)
    r_t = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    for of in (
        lambda y: likelihood.residual(x, y),
        lambda y: likelihood.log_prob(x, y),
        lambda y: likelihood.guidance(x, r_t, y),
        lambda y: likelihood.misfit(x, y),
    ):
        torch.testing.assert_close(of(other), of(observation.y), atol=1e-6, rtol=1e-6)


def test_residual_and_guidance_turn_with_the_chain():
    x_0, observation = observations()
    x = x_0 + torch.randn_like(x_0)
    rotation, c = rotations(len(x), 5), torch.randn(len(x), 1, 3, dtype=x.dtype)
    one = torch.ones(1, dtype=x.dtype)
    for of in (
        observation.residual,
        lambda x: observation.likelihood.guidance(x, one, observation.y),
    ):
        torch.testing.assert_close(
            of(x @ rotation.mT + c), of(x) @ rotation.mT, atol=1e-6, rtol=1e-6
        )


def test_mirror_images_are_told_apart():
    x_0 = 8 * torch.randn(1, LENGTH, 3, dtype=torch.float64)
    operator = AlignedMotif(torch.arange(8)[None], None, LENGTH)
    y = operator(x_0)
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    likelihood = GaussianLikelihood(operator, 0.1)
    assert likelihood.misfit(x_0, y) < 1e-6
    assert likelihood.misfit(x_0 * mirror, y) > 5


def test_the_residual_of_one_residue_is_zero_and_of_two_their_distance():
    x_0 = torch.randn(1, 5, 3, dtype=torch.float64)
    y = torch.randn(1, 2, 3, dtype=torch.float64)
    alone = AlignedMotif(torch.tensor([[1, 3]]), torch.tensor([[0, 1]]), 5)
    torch.testing.assert_close(alone.residual(x_0, y), torch.zeros_like(y))
    pair = AlignedMotif(torch.tensor([[1, 3]]), None, 5)
    apart = (x_0[0, 1] - x_0[0, 3]).norm() - (y[0, 0] - y[0, 1]).norm()
    torch.testing.assert_close(
        pair.residual(x_0, y).norm(), apart.abs() / math.sqrt(2), atol=1e-6, rtol=1e-6
    )


def test_the_guidance_is_the_gradient_of_the_tempered_likelihood():
    """r g = r grad log N(y; x_0, r^2 + sigma_y^2), also where y is moved to fit."""
    x_0, observation = observations(sigma_y=0.3)
    x = (x_0 + torch.randn_like(x_0)).requires_grad_()
    r = 1.7
    tempered = GaussianLikelihood(observation.operator, math.sqrt(r**2 + 0.3**2))
    gradient = torch.autograd.grad(tempered.log_prob(x, observation.y).sum(), x)[0]
    found = observation.likelihood.guidance(
        x, torch.tensor([r], dtype=torch.float64), observation.y
    )
    torch.testing.assert_close(found, r * gradient, atol=1e-6, rtol=1e-6)


def test_no_gradient_through_the_rotation_changes_the_gradient_of_the_likelihood():
    x_0, observation = observations(2)
    x = (x_0 + torch.randn_like(x_0)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: observation.likelihood.log_prob(x, observation.y), (x,), atol=1e-4
    )


def _guidance(likelihood, x, y):
    return likelihood.guidance(x, torch.ones(1, dtype=x.dtype), y)


def test_rows_that_do_not_exist_carry_no_likelihood():
    for frame in ("fixed", "aligned"):
        x_0, observation = observations(frame=frame)
        likelihood, operator = observation.likelihood, observation.operator
        wrong = observation.y + 100 * (operator.index < 0)[..., None]
        for of in (
            likelihood.log_prob,
            likelihood.residual,
            likelihood.misfit,
            partial(_guidance, likelihood),
        ):
            torch.testing.assert_close(of(x_0, wrong), of(x_0, observation.y))
        rows = (operator.index >= 0).sum(1)
        assert operator.count(wrong).tolist() == (3 * rows).tolist()


def test_the_same_motif_padded_further_is_the_same():
    x_0, observation = observations(1)
    operator = observation.operator
    pad = torch.nn.functional.pad
    wider = AlignedMotif(pad(operator.index, (0, 3), value=-1), pad(operator.group, (0, 3)), LENGTH)
    y = pad(observation.y, (0, 0, 0, 3))
    one = GaussianLikelihood(operator, 0.2)
    other = GaussianLikelihood(wider, 0.2)
    torch.testing.assert_close(other.log_prob(x_0, y), one.log_prob(x_0, observation.y))
    r_t = torch.ones(1, dtype=x_0.dtype)
    torch.testing.assert_close(other.guidance(x_0, r_t, y), one.guidance(x_0, r_t, observation.y))


def test_an_observation_is_taken_and_repeated():
    x_0, observation = observations()
    r_t = torch.ones(1, dtype=x_0.dtype)
    all_of_them = observation.likelihood.guidance(x_0, r_t, observation.y)
    some = observation.take([2, 0]).repeat(2)
    x = x_0[[2, 2, 0, 0]]
    torch.testing.assert_close(some.likelihood.guidance(x, r_t, some.y), all_of_them[[2, 2, 0, 0]])


def test_the_misfit_of_the_truth():
    """||residual||^2 / sigma_y^2 is chi-square with 3 m - 6 degrees, since the motion is fitted."""
    n, m, sigma_y = 400, 8, 0.1
    x_0 = 8 * torch.randn(n, LENGTH, 3, dtype=torch.float64)
    operator = AlignedMotif(torch.arange(m)[None], None, LENGTH)
    likelihood = GaussianLikelihood(operator, sigma_y)
    y = likelihood.sample(x_0, Noise(range(n), dtype=torch.float64))
    squares = likelihood.misfit(x_0, y).square().mean() * 3 * m
    freedom = 3 * m - 6
    assert abs(squares - freedom) < 4 * math.sqrt(2 * freedom / n)


def test_a_chain_is_aligned_by_its_motif():
    x_0, _ = observations()
    turned = x_0 @ rotations(len(x_0), 3).mT + 7
    operator = AlignedMotif(torch.arange(5)[None], None, LENGTH)
    torch.testing.assert_close(operator.align(turned, x_0), x_0, atol=1e-6, rtol=1e-6)
    turned[:, -2:] = 0
    assert (operator.align(turned, x_0)[:, -2:] == 0).all()
    turned = x_0 @ rotations(len(x_0), 3).mT + 7
    torch.testing.assert_close(
        GaussianLikelihood(operator, 0.1).log_prob(turned, operator(x_0)),
        GaussianLikelihood(operator, 0.1).log_prob(x_0, operator(x_0)),
    )


def test_rows_that_do_not_exist_may_be_more_than_residues():
    index = torch.tensor([[0, 2, -1, -1, -1]])
    x_0 = torch.randn(1, 3, 3)
    operator = AlignedMotif(index, None, 3)
    assert operator(x_0).shape == (1, 5, 3)
    assert torch.equal(operator.lift(operator(x_0))[0, [0, 2]], x_0[0, [0, 2]])
    refused(lambda: FixedMotif(index, None, 3), "5 rows", "at most 3 rows")


def test_frames():
    index = torch.tensor([[1, 2]])
    assert not isinstance(Motif(index, None, 4), LinearOperator)
    assert isinstance(Motif(index, None, 4, "fixed"), LinearOperator)


@pytest.mark.parametrize("frame", ["fixed", "aligned"])
def test_errors(frame):
    def made(index, group=None, length=6):
        return Motif(index, group, length, frame)

    refused(lambda: made(torch.ones(1, 2)), "torch.float32", "whole numbers")
    refused(lambda: made(torch.ones(3).long()), "the shape (3,)", "(signals or 1, rows)")
    refused(lambda: made(torch.zeros(1, 0).long()), "the shape (1, 0)", "(signals or 1, rows)")
    refused(lambda: made(torch.tensor([[0, 6]])), "residues 0 to 6", "residues 0 to 5")
    refused(lambda: made(torch.tensor([[0, -2]])), "residues -2 to 0", "0 to 5")
    refused(lambda: made(torch.tensor([[2, 2]])), "a residue twice", "at most once")
    index = torch.tensor([[0, 1]])
    refused(lambda: made(index, torch.tensor([[0]])), "the shape (1, 1)", "(signals or 1, rows)")
    refused(lambda: made(index, torch.tensor([[0, 2]])), "groups 0 to 2", "0 to 1")
    refused(lambda: made(index, torch.tensor([[0, -1]])), "groups -1 to 0", "0 to 1")
    refused(lambda: made(index, None, 0), 0, "a whole number >= 1")
    refused(lambda: Motif(index, None, 4, "free"), "free", "aligned, fixed")
