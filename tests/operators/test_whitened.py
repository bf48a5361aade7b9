import torch

from deft.likelihoods import GaussianLikelihood
from deft.operators import HighDynamicRange, Inpainting, Matrix, NonlinearBlur
from deft.operators.blur import CircularBlur
from deft.operators.whitening import EntryWeights, of_covariance, of_deviations
from tests.contracts.operator import (
    LinearOperatorContract,
    OperatorContract,
    SpectralOperatorContract,
)
from tests.refusal import refused


def deviations(seeds, shape):
    rows = [
        0.5 + torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds
    ]
    return torch.cat(rows) if rows else torch.ones(0, *shape)


def weights(seeds, shape):
    sigma = deviations(seeds, shape)
    return of_deviations(sigma, torch.ones_like(sigma))[0]


def mask(seeds):
    drawn = [
        (torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(9 + seed)) > 0.4).double()
        for seed in seeds
    ]
    return torch.cat(drawn) if drawn else torch.ones(0, 1, 3, 4)


class TestSpectral(SpectralOperatorContract):
    event_shape = (2, 3, 4)

    def make(self, seeds):
        return Inpainting(mask(seeds)).whitened(weights(seeds, self.event_shape))


class TestLinear(LinearOperatorContract):
    event_shape = (6,)
    solve_tolerance = 1e-4  # conjugate gradients

    def make(self, seeds):
        a = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        return Matrix(a).whitened(weights(seeds, (4,)))


class TestCorrelated(LinearOperatorContract):
    event_shape = (6,)
    solve_tolerance = 1e-4  # conjugate gradients

    def make(self, seeds):
        a = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        return Matrix(a).whitened(of_covariance(Matrix(covariance(4)), (4,))[0])


class TestNotLinear(OperatorContract):
    event_shape = (1, 4, 4)

    def make(self, seeds):
        return HighDynamicRange(2.0).whitened(weights(seeds, self.event_shape))


def test_a_precise_entry_moves_as_far_as_it_says_and_no_farther():
    """A pull that solves its equations for one noise level must not be handed weighted residuals:
    the precise entry of HDR went a hundred times too far.
    """
    sigma = torch.ones(1, 1, 15, 20)
    sigma[..., 0, 0] = 0.01
    likelihood = GaussianLikelihood(HighDynamicRange(2.0), sigma)
    x_0 = torch.zeros(1, 1, 15, 20)
    y = likelihood.operator(x_0)
    y[..., 0, 0] += 0.2  # as x_0 = 0.1 there makes it
    for r in (0.1, 1.0):
        moved = r * likelihood.guidance(x_0, torch.tensor([r]), y)
        assert 0.05 < float(moved[..., 0, 0]) < 0.15
        assert float(moved.flatten()[1:].abs().max()) < 1e-6


class TestNonlinearBlur(OperatorContract):
    event_shape = (1, 5, 5)
    solve_tolerance = 1e-4  # conjugate gradients, which stop before they have converged

    def make(self, seeds):
        kernel = torch.tensor([[[0.1, 0.1, 0.0], [0.1, 0.4, 0.1], [0.1, 0.1, 0.0]]])
        return NonlinearBlur(kernel).whitened(weights(seeds, self.event_shape))


def covariance(m, seed=1):
    root = torch.randn(m, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T + 0.3 * torch.eye(m, dtype=torch.float64)


def dense(w, shape):
    m = torch.Size(shape).numel()
    return w(torch.eye(m, dtype=torch.float64).reshape(m, *shape)).reshape(m, m).T


def check(w, level, c, shape):
    """W C W^T = s^2 I, with 1 / s^2 the mean precision."""
    matrix, m = dense(w, shape), len(c)
    torch.testing.assert_close(matrix @ c @ matrix.T, level**2 * torch.eye(m, dtype=torch.float64))
    assert abs(level**-2 - float(torch.linalg.inv(c).trace()) / m) < 1e-9 * level**-2
    y = torch.randn(2, *shape, dtype=torch.float64)
    torch.testing.assert_close(w.inverse(w(y)), y)
    volume = torch.linalg.slogdet(matrix)[1].expand(2)
    torch.testing.assert_close(w.log_volume(torch.ones_like(y)), volume)


def test_a_covariance_by_its_decomposition():
    c = covariance(5)
    w, level = of_covariance(Matrix(c), (5,))
    assert type(w).__name__ == "RootWhitening"
    check(w, level, c, (5,))


def test_a_covariance_of_stationary_noise():
    """A blur by a kernel whose transform is positive: neighbours are alike, everywhere alike."""
    kernel = torch.tensor([[[0.02, 0.05, 0.02], [0.05, 0.72, 0.05], [0.02, 0.05, 0.02]]]).double()
    blur = CircularBlur(kernel)
    w, level = of_covariance(blur, (1, 4, 6))
    assert type(w).__name__ == "RootWhitening"
    check(w, level, dense(blur, (1, 4, 6)), (1, 4, 6))


def test_a_covariance_of_few_entries_by_its_factor():
    c = covariance(6)
    operator = Matrix(c).whitened(EntryWeights(torch.ones(1, 6, dtype=torch.float64)))
    w, level = of_covariance(operator, (6,))
    assert type(w).__name__ == "CholeskyWhitening"
    check(w, level, c, (6,))


def test_the_same_noise_everywhere_changes_nothing():
    w, level = of_deviations(torch.full((2, 3), 0.2), torch.ones(2, 3))
    torch.testing.assert_close(level, torch.full((2,), 0.2))
    torch.testing.assert_close(w.weights, torch.ones(2, 3))
    w, one = of_covariance(Matrix(0.04 * torch.eye(3).double()), (3,))
    assert abs(one - 0.2) < 1e-9
    torch.testing.assert_close(dense(w, (3,)), torch.eye(3).double())


def test_errors():
    seen = torch.tensor([[1.0, 1.0, 0.0]])
    for bad in (0.0, -1.0, torch.nan, torch.inf):
        refused(
            lambda bad=bad: of_deviations(torch.tensor([[0.1, bad, torch.nan]]), seen),
            f"1 of 2 standard deviations that are not finite numbers > 0, such as {bad:g}",
            "a finite standard deviation > 0 for each entry",
        )
    skew = torch.eye(3).double()
    skew[0, 1] = 0.5
    refused(
        lambda: of_covariance(Matrix(skew), (3,)), "a map that is not symmetric", "a covariance"
    )
    refused(
        lambda: of_covariance(Matrix(torch.diag(torch.tensor([1.0, 1.0, 0.0]))), (3,)),
        "a map that is not positive definite",
        "noise in every direction",
    )
    refused(
        lambda: of_covariance(Matrix(torch.diag(torch.tensor([1.0, -1.0]))), (2,)),
        "a map that is not positive definite",
        "noise in every direction",
    )
