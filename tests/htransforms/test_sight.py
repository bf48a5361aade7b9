import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import ask
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.sight import OCTAVES, means, sight
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import (
    HighDynamicRange,
    Identity,
    Inpainting,
    InUnits,
    Matrix,
    SuperResolution,
)
from deft.posterior import Posterior
from deft.problems import AnyOf, Denoising
from deft.problems import SuperResolution as SuperResolutionProblem
from deft.schedules import VPLinear
from tests.contracts.htransform import HTransformContract
from tests.contracts.learning import LearningContract
from tests.htransforms.test_pivot import at, observed, white

SHAPE = (2, 32, 32)
S = 0.6


def seen(operator, sigma_y=0.1, shape=SHAPE):
    x_0 = torch.zeros(1, *shape)
    likelihood = GaussianLikelihood(operator, sigma_y)
    return sight(Observation(likelihood.sample(x_0, Noise([0])), likelihood), operator, shape, S)


class TestForAnyOperator(HTransformContract, LearningContract):
    def made(self, prior):
        return LearnedHTransform(
            prior.event_shape,
            prior.scale,
            point="pivot",
            operators="any",
            channels=(4, 6),
            attention=(False, False),
        )

    def h_transform(self, prior):
        torch.manual_seed(0)
        return self.made(prior).double()


class TestForAnyOperatorAtXT(TestForAnyOperator):
    def made(self, prior):
        return LearnedHTransform(
            prior.event_shape,
            prior.scale,
            operators="any",
            channels=(4, 6),
            attention=(False, False),
        )


@pytest.mark.parametrize("sigma_y", [0.0, 0.1, 2.0])
def test_all_is_seen_as_well_of_a_noisy_picture(sigma_y):
    """A = I: s^2 / (s^2 + sigma_y^2) of every octave at every place."""
    found = seen(Identity(), sigma_y)
    expected = torch.full((1, OCTAVES + 1, 32, 32), S**2 / (S**2 + sigma_y**2))
    torch.testing.assert_close(found.seen, expected)
    torch.testing.assert_close(found.noise, torch.tensor([sigma_y]))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_block_averages_hide_what_is_finer_than_a_block(factor):
    found = seen(SuperResolution(factor, SHAPE), 1e-4).seen
    k = {2: 1, 4: 2, 8: 3}[factor]
    assert float(found[:, :k].max()) < 1e-5
    assert float(found[:, k:].min()) > 0.99


def test_a_mask_hides_every_octave_where_it_hides():
    mask = torch.ones(1, 1, 32, 32)
    mask[..., :16] = 0
    found = seen(Inpainting(mask), 0.0).seen
    for k in range(3):  # windows of 4, 8 and 16 places, none of which crosses the border
        assert float(found[:, k, :, :16].max()) < 1e-5
        assert float(found[:, k, :, 16:].min()) > 0.99
    torch.testing.assert_close(found[:, 3].mean(), torch.tensor(0.5), atol=0.1, rtol=0)


def test_random_projections_see_their_share_of_everything():
    a = torch.randn(512, 2048, generator=torch.Generator().manual_seed(0))
    found = seen(Matrix(a, SHAPE), 1e-3).seen
    torch.testing.assert_close(
        found.mean((0, 2, 3)), torch.full((OCTAVES + 1,), 0.25), atol=0.12, rtol=0
    )


def test_it_does_not_depend_on_the_units_of_y():
    """c A with noise c sigma_y says the same as A with sigma_y."""
    a = torch.randn(40, 2048, generator=torch.Generator().manual_seed(0)) / 45
    x_0 = torch.randn(1, *SHAPE)
    found = []
    for c in (1.0, 50.0):
        operator = Matrix(c * a, SHAPE)
        likelihood = GaussianLikelihood(operator, c * 0.2)
        y = likelihood.sample(x_0, Noise([0]))
        found.append(sight(Observation(y, likelihood), operator, SHAPE, S))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_reconstruction_is_the_posterior_mean_under_a_white_prior():
    prior = white(VPLinear(), mean=0.0)
    operator = Inpainting((torch.rand(1, 1, *prior.event_shape[1:]) > 0.5).double())
    observation, _ = observed(prior, operator, 0.3)
    found = sight(observation, operator, prior.event_shape, 0.6).reconstruction
    mask = operator(torch.ones_like(found))
    torch.testing.assert_close(found, mask * 0.36 / (0.36 + 0.09) * observation.y)


@pytest.mark.parametrize("shape", [(1, 5), (1, 7, 12)])
def test_means_of_any_size(shape):
    """Of a constant that constant; of a ramp the means of its blocks, the end continued."""
    torch.testing.assert_close(means(torch.full((2, *shape), 3.0), 4), torch.full((2, *shape), 3.0))
    ramp = torch.arange(5.0).reshape(1, 1, 5)
    torch.testing.assert_close(means(ramp, 2).flatten(), torch.tensor([0.5, 0.5, 2.5, 2.5, 4.0]))


def test_untrained_it_is_exact_for_a_white_gaussian():
    prior = white(VPLinear())
    operator = SuperResolution(2, prior.event_shape)
    observation, x_0 = observed(prior, operator, 0.2)
    h = TestForAnyOperator().h_transform(prior)
    for t in (0.1, 0.5, 0.9):
        t = torch.tensor([t], dtype=torch.float64)
        x_t = at(prior, x_0, t)
        said = ask(h, prior, x_t, t, observation)
        exact = Posterior(prior, h, observation).denoise(x_t, t)
        torch.testing.assert_close(said.x_0_hat + h.shift(said, observation), exact)


def test_kept_features_follow_the_signals():
    """Taken, repeated and in another precision they are those of the same measurements."""
    x_0 = torch.randn(3, *SHAPE)
    problem = AnyOf([Denoising(), SuperResolutionProblem(4)], sigma_y=(0.01, 0.5))
    observation = problem.draw(x_0, Noise(range(3)))
    whole = sight(observation, observation.operator, SHAPE, S)
    taken = observation.take([2, 0]).repeat(2)
    assert len(taken.kept(f"seen at {S:g}", lambda: torch.zeros(0))) == 4  # not made again
    alone = observation.take([2])
    vars(alone).pop("_computed")
    for a, b, c in zip(
        whole,
        sight(taken, taken.operator, SHAPE, S),
        sight(alone, alone.operator, SHAPE, S),
        strict=True,
    ):
        torch.testing.assert_close(b, a[[2, 2, 0, 0]])
        torch.testing.assert_close(c, a[[2]])


def test_an_operator_that_is_not_linear_is_refused():
    prior = white(VPLinear())
    h = TestForAnyOperator().h_transform(prior)
    likelihood = GaussianLikelihood(HighDynamicRange().double(), 0.1)
    y = likelihood.sample(torch.zeros(1, *prior.event_shape).double(), Noise([0]))
    with pytest.raises(InvalidInput, match="linear") as raised:
        Posterior(prior, h, Observation(y, likelihood))
    assert "deft train" in str(raised.value)


def test_units_of_the_signal_do_not_matter():
    """An affine operator: A(0) is no part of what is seen."""
    plain = seen(Identity(), 0.1)
    moved = seen(InUnits(Identity(), 1.0, 100.0), 0.1)
    torch.testing.assert_close(moved.seen, plain.seen)
