import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.conditional_score import ConditionalScore
from deft.htransforms.learned import LearnedHTransform
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.unet import UNetPrior
from deft.problems import SuperResolution
from deft.samplers.ddim import DDIM
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear
from tests.contracts.htransform import HTransformContract
from tests.contracts.learning import LearningContract
from tests.htransforms.test_body import SHAPES
from tests.htransforms.test_body import prior as large_prior
from tests.htransforms.test_learned import PROBLEMS, photographs

DOUBLE = torch.float64


class TestConditionalScore(HTransformContract, LearningContract):
    reads_noise_level = False  # not before it is trained
    builds_on_the_prior = False

    def made(self, prior):
        return ConditionalScore(
            prior.event_shape, prior.scale, channels=(8, 8), blocks=1, attention=(False, False)
        )

    def h_transform(self, prior):
        torch.manual_seed(0)
        return self.made(prior).double()


@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
def test_untrained_it_is_the_denoiser_of_a_white_gaussian(schedule):
    prior = GaussianMixture(
        torch.zeros(1, 2, 6, 8, dtype=DOUBLE), torch.tensor([0.36], dtype=DOUBLE), None, schedule
    )
    h = TestConditionalScore().h_transform(prior)
    observation = SuperResolution(2, sigma_y=0.1).draw(
        torch.randn(3, 2, 6, 8, dtype=DOUBLE), Noise(range(3), dtype=DOUBLE)
    )
    denoised = prior.at(
        torch.randn(3, 2, 6, 8, dtype=DOUBLE), torch.tensor([0.0, 0.5, 1.0], dtype=DOUBLE)
    )
    # h keeps the scale of the prior in single precision
    torch.testing.assert_close(
        h.estimate(denoised, observation), denoised.x_0_hat, rtol=0, atol=1e-6
    )


def test_it_is_what_the_module_says():
    prior = UNetPrior(
        (1, 8, 8), VPLinear(), channels=(4, 4), blocks=1, attention=(False, False)
    ).frozen()
    h = ConditionalScore((1, 8, 8), 0.5, channels=(4, 4), blocks=1, attention=(False, False))
    for p in h.parameters():
        p.data += 0.1 * torch.randn_like(p)
    x_t = torch.randn(2, 1, 8, 8)
    observation = SuperResolution(2, sigma_y=(0.1, 0.4)).draw(x_t, Noise([0, 1]))
    denoised = prior.at(x_t, torch.tensor([0.2, 0.6]))
    alpha_t, sigma_t = denoised.alpha_t, denoised.sigma_t
    total = alpha_t**2 * 0.25 + sigma_t**2
    lift = torch.nn.functional.interpolate(
        observation.y, scale_factor=2
    )  # the pseudo-inverse of averages repeats them
    reads = torch.cat([x_t / total.sqrt(), lift / 0.5, torch.ones_like(x_t)], dim=1)
    numbers = torch.stack(
        [2 * (alpha_t / sigma_t).log().flatten(), 2 * (observation.sigma_y + 1e-3).log()], dim=1
    )
    expected = (
        alpha_t * 0.25 / total * x_t
        + 0.5 * sigma_t / total.sqrt() * h.network(reads, numbers)
        - denoised.x_0_hat
    )
    torch.testing.assert_close(h.shift(denoised, observation), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.002, 80), EDM(), RectifiedFlow()], ids=lambda s: type(s).__name__
)
def test_what_the_network_reads_and_learns_is_of_order_one(schedule, problem):
    images = photographs()
    prior = UNetPrior((3, 16, 16), schedule, channels=(4, 4), blocks=1, attention=(False, False))
    prior.gaussian.fit(images)
    prior.frozen()
    h = ConditionalScore(
        prior.event_shape, prior.scale, channels=(4, 4), blocks=1, attention=(False, False)
    )
    noise = Noise(range(len(images)))
    observation = problem(sigma_y=0.1).draw(images, noise)
    for t in torch.tensor([0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])[:, None]:
        alpha_t, sigma_t = prior.levels(images, t)
        denoised = prior.at(alpha_t * images + sigma_t * noise.normal(4, prior.event_shape), t)
        sizes = {
            name: float(value.square().mean().sqrt())
            for name, value in h.inputs(denoised, observation).items()
        }
        assert sizes["x_t"] == pytest.approx(1, abs=0.1)
        assert 0.5 < sizes["coverage"] <= 1
        assert (
            0.5 < sizes["lift"] < 1.4 + 0.5 / prior.scale
        )  # a blur amplifies what noise there is fivefold at most
        r_t = prior.scale * sigma_t / (alpha_t**2 * prior.scale**2 + sigma_t**2).sqrt()
        target = (images - h.estimate(denoised, observation).detach()) / r_t
        assert float(target.square().mean().sqrt()) == pytest.approx(1, abs=0.15)


def test_samples_do_not_depend_on_the_prior():
    torch.manual_seed(0)
    first, second = (
        UNetPrior((1, 8, 8), VPCosine(), channels=(4, 4), blocks=1, attention=(False, False))
        .double()
        .frozen()
        for _ in range(2)
    )
    first.gaussian.variance.fill_(0.3)
    second.gaussian.variance.fill_(0.7)
    h = TestConditionalScore().trained(first).double()
    observation = SuperResolution(2, sigma_y=0.1).draw(
        torch.randn(2, 1, 8, 8, dtype=DOUBLE), Noise([0, 1], dtype=DOUBLE)
    )
    x_t, t = torch.randn(2, 1, 8, 8, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    assert not torch.allclose(first.denoise(x_t, t), second.denoise(x_t, t))
    one, other = (Posterior(prior, h, observation).denoise(x_t, t) for prior in (first, second))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", SHAPES[1:4])
def test_sized_like_the_prior(shape):
    frozen = large_prior(shape)
    with torch.device("meta"):
        share = ConditionalScore.for_prior(frozen).num_parameters / frozen.num_parameters
    assert share == pytest.approx(1, rel=0.18)  # widths move in steps of sixteen


def test_without_a_shape_of_its_own_it_is_trained_like_the_learned_one():
    prior = large_prior((1, 8, 8))
    with torch.device("meta"):
        h, learned = (
            ConditionalScore.for_prior(prior, fraction=0.05, blocks=1),
            LearnedHTransform.for_prior(prior, fraction=0.05),
        )
    assert set(h.config) == set(learned.config)
    assert len(h.config["channels"]) == len(learned.config["channels"])


def test_cost():
    h = ConditionalScore((1, 8, 8), 0.5, channels=(4, 4), blocks=1, attention=(False, False))
    assert not h.needs_prior_gradient
    assert (h.prior_gradients_per_step, h.network_evaluations_per_step) == (0, 1)


def test_sequences():
    prior = GaussianMixture(torch.zeros(1, 3, 11), torch.tensor([0.5]), None, VPCosine())
    h = ConditionalScore((3, 11), prior.scale, channels=(4, 4), blocks=1, attention=(False, False))
    observation = SuperResolution(11, sigma_y=0.1).draw(torch.randn(2, 3, 11), Noise([0, 1]))
    assert DDIM(2)(Posterior(prior, h, observation), 3).shape == (2, 3, 3, 11)


def test_errors():
    with pytest.raises(
        InvalidInput, match=r"shape \(channels, length\) or \(channels, height, width\); got"
    ):
        ConditionalScore((7,), 0.5)
    with pytest.raises(InvalidInput, match="fraction: got 2"):
        ConditionalScore.for_prior(large_prior((1, 8, 8)), fraction=2.0)
