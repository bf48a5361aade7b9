import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.blur import Blur
from deft.operators.inpainting import Inpainting
from deft.operators.super_resolution import SuperResolution
from deft.samplers.cooled import Cooled
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.replacement import Replacement, ReplacementAfter
from deft.schedules import VPCosine
from deft.steps import State
from tests.closed_form import DOUBLE, Matrix, gaussian
from tests.contracts.conditional_sampler import ConditionalSamplerContract
from tests.samplers.affine import Plain, moments


class TestReplacement(ConditionalSamplerContract):
    def sampler(self, steps, grid=None):
        return Replacement(steps, jump_length=2, resamplings=3, grid=grid)

    def test_what_an_inpainting_measures_is_met(self):
        observation = self.observation(2)
        x_0 = self.sampler(5)(self.prior(), observation, 2, seed=1)
        assert float(observation.repeat(2).residual(x_0.flatten(0, 1)).abs().max()) < 1e-12

    def test_block_averages_are_met(self):
        operator = SuperResolution(2, (1, 4, 4)).double()
        observation = Observation(
            torch.randn(1, 1, 2, 2, dtype=DOUBLE), GaussianLikelihood(operator, 0.0)
        )
        x_0 = self.sampler(5)(self.prior(), observation, 2, seed=1)
        assert (
            float(observation.repeat(2).residual(x_0[0]).abs().max()) < 1e-5
        )  # its basis is that of float32

    def test_operators_that_weigh_components_are_refused(self):
        kernel = torch.ones(1, 2, 2, dtype=DOUBLE) / 4
        for operator, says in (
            (Blur(kernel, "circular"), "got CircularBlur, whose singular values differ"),
            (Blur(kernel, "reflect"), "ReflectBlur has none"),
        ):
            observation = Observation(
                torch.zeros(1, 1, 4, 4, dtype=DOUBLE), GaussianLikelihood(operator, 0.1)
            )
            with pytest.raises(InvalidInput, match=says):
                self.sampler(3)(self.prior(), observation, 1)


def masked(prior, mask):
    """Algorithm 1's m and x_0, for signals (1, 1, d)."""
    observation = Observation(
        torch.randn(1, 1, 3, dtype=DOUBLE) * mask, GaussianLikelihood(Inpainting(mask), 0.0)
    )
    return (prior, observation), observation.y


def line(schedule):
    """The correlated Gaussian as signals of one channel."""
    prior = gaussian(schedule)
    return type(prior)(prior.means[0][:, None], prior._covariances()[0], None, schedule)


def test_the_published_steps():
    """Algorithm 1 with alpha_bar = alpha_t^2, and a jump over two steps that is taken back
    twice.
    """
    prior, mask = line(VPCosine()), torch.tensor([[[1.0, 0.0, 1.0]]], dtype=DOUBLE)
    posterior, y = masked(prior, mask)
    sampler = Replacement(5, jump_length=2, resamplings=3)
    grid = sampler.grid.times(prior.schedule, 5)
    noise = Noise([4], dtype=DOUBLE)
    state = State(torch.randn(1, 1, 3, dtype=DOUBLE), grid[:1])
    bar = prior.schedule.alpha(grid) ** 2

    def reverse(x_t, k, draw):
        """From the k-th time to the next: alpha = alpha_bar_t / alpha_bar_{t-1}, mean and
        variance of DDPM.
        """
        alpha = bar[k] / bar[k + 1]
        beta = 1 - alpha
        x_0_hat = prior.denoise(x_t, grid[k : k + 1])
        mean = (
            bar[k + 1].sqrt() * beta / (1 - bar[k]) * x_0_hat
            + alpha.sqrt() * (1 - bar[k + 1]) / (1 - bar[k]) * x_t
        )
        unknown = mean + ((1 - bar[k + 1]) / (1 - bar[k]) * beta).sqrt() * draw(0)
        known = bar[k + 1].sqrt() * y + (1 - bar[k + 1]).sqrt() * draw(1)
        return mask * known + (1 - mask) * unknown

    x = state.x_t
    for k in range(4):
        fresh = noise.stream(k + 1)
        x = reverse(x, k, lambda i, fresh=fresh: fresh.normal(i, (1, 3)))
        if k in (
            1,
            3,
        ):  # two and four steps are done: the indices 2 and 0 of RePaint, from the clean end
            place = 2
            for _ in range(2):
                alpha = bar[k - 1] / bar[k + 1]
                x = alpha.sqrt() * x + (1 - alpha).sqrt() * fresh.normal(place, (1, 3))
                for n, j in ((0, k - 1), (1, k)):
                    x = reverse(
                        x,
                        j,
                        lambda i, at=place + 1 + 2 * n, fresh=fresh: fresh.normal(at + i, (1, 3)),
                    )
                place += 5
        state = sampler.step(*posterior, state, grid[k + 1 : k + 2], noise)
        torch.testing.assert_close(state.x_t, x)
    x_0 = sampler.finish(*posterior, state, noise)
    torch.testing.assert_close(x_0, mask * y + (1 - mask) * prior.denoise(x, grid[-1:]))


def test_the_published_cost():
    """T = 250, j = 10 and r = 10: 250 steps and 24 jumps of 10, each taken back 9 times."""
    assert Replacement().evaluations == 250 + 24 * 9 * 10
    assert Replacement(250, resamplings=1).evaluations == 250


def test_resampling_and_not_small_steps_removes_the_bias(monkeypatch):
    """One component of three is known: the error of the mean stays with the number of steps, and
    falls as 1 / resamplings.
    """
    prior = gaussian(VPCosine(-8, 8))
    direction = torch.tensor([[[1.0, 0.0, 0.0]]], dtype=DOUBLE)
    observation = Observation(
        torch.tensor([[2.5]], dtype=DOUBLE), GaussianLikelihood(Matrix(direction), 0.0)
    )
    posterior, grid = (Plain(prior), observation), UniformLogSNR(low=-5, high=8)
    (true_mean,), (true_covariance,) = Exact(prior).posterior(observation).moments()

    def drawn(steps, resamplings):
        mean, covariance = moments(Replacement(steps, 1, resamplings, grid), posterior, monkeypatch)
        return float((mean - true_mean).abs().max()), float(
            (covariance - true_covariance).abs().max()
        )

    (coarse, _), (fine, _), (three, _), (six, spread) = (
        drawn(30, 1),
        drawn(90, 1),
        drawn(30, 3),
        drawn(30, 6),
    )
    assert fine > 0.8 * coarse > 0.1
    assert three < 0.6 * fine
    assert six < 0.65 * three
    assert spread < 0.2 * float(true_covariance.diagonal().max())  # 30 ancestral steps


def test_what_it_asks_for():
    prior, operator = (
        gaussian(),
        Matrix(torch.diag(torch.tensor([1.0, 0.5, 0.0], dtype=DOUBLE))[None]),
    )
    observation = Observation(torch.zeros(1, 3, dtype=DOUBLE), GaussianLikelihood(operator, 0.1))
    with pytest.raises(InvalidInput, match="got Matrix, whose singular values differ"):
        Replacement(3)(prior, observation, 1)
    for arguments in ({"jump_length": 0}, {"resamplings": 0}):
        with pytest.raises(InvalidInput, match=r"jump_length|resamplings"):
            Replacement(3, **arguments)


class TestAfterCooledSteps(ConditionalSamplerContract):
    def sampler(self, steps, grid=None):
        return ReplacementAfter(Cooled(steps, 0.6, 0.5, grid))

    @pytest.mark.parametrize("steps", [DDIM(5), DPMSolver(5)], ids=["DDIM", "DPMSolver"])
    def test_what_an_inpainting_measures_is_met_whoever_takes_the_steps(self, steps):
        observation = self.observation(2)
        x_0 = ReplacementAfter(steps)(self.prior(), observation, 2, seed=1)
        assert float(observation.repeat(2).residual(x_0.flatten(0, 1)).abs().max()) < 1e-12

    def test_where_nothing_is_measured_it_is_the_sampler(self):
        prior, noise = self.prior(), Noise([3, 4], dtype=DOUBLE)
        nothing = Inpainting(torch.zeros(1, 1, 4, 4, dtype=DOUBLE))
        observation = Observation(
            torch.zeros(1, 1, 4, 4, dtype=DOUBLE), GaussianLikelihood(nothing, 0.1)
        )
        cooled = Cooled(6, 0.6, 0.5)
        own = ReplacementAfter(cooled).run(prior, observation, noise)
        torch.testing.assert_close(own, cooled.run(prior, noise), rtol=0, atol=0)

    def test_a_step_is_that_of_the_sampler_with_a_noised_copy(self):
        """Below the level of `Cooled`, whose noise is then a share of that of DDPM."""
        prior, observation = self.prior(), self.observation(2)
        noise, mask = Noise([3, 4], dtype=DOUBLE), observation.operator.mask
        t, s = prior.schedule.time(torch.tensor([2.0, 3.0], dtype=DOUBLE)).split(1)
        state = State(torch.randn(2, 1, 4, 4, dtype=DOUBLE), t, 2)
        moved = self.sampler(6).step(prior, observation, state, s, noise)
        alone = Cooled(6, 0.6, 0.5).step(prior, state, s, noise)
        ddpm = DDIM(6, eta=1.0).step(prior, state, s, noise)
        assert (moved.step, moved.t) == (3, s)
        torch.testing.assert_close((1 - mask) * moved.x_t, (1 - mask) * alone.x_t)
        assert float((alone.x_t - ddpm.x_t).abs().max()) > 1e-2
        alpha_s, sigma_s = prior.levels(state.x_t, s)
        z = (moved.x_t - alpha_s * observation.y) / sigma_s
        torch.testing.assert_close(mask * z, mask * noise.stream(5).normal(3, (1, 4, 4)))

    def test_operators_that_weigh_components_are_refused(self):
        kernel = torch.ones(1, 2, 2, dtype=DOUBLE) / 4
        blurred = GaussianLikelihood(Blur(kernel, "circular"), 0.1)
        observation = Observation(torch.zeros(1, 1, 4, 4, dtype=DOUBLE), blurred)
        with pytest.raises(InvalidInput, match="got CircularBlur, whose singular values differ"):
            self.sampler(3)(self.prior(), observation, 1)
