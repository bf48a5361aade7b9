from dataclasses import replace

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.htransforms.learned import LearnedHTransform
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.blur import Blur
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.super_resolution import SuperResolution
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.unet import UNetPrior
from deft.problems import (
    BlackBox,
    Deblurring,
    Denoising,
    HighDynamicRange,
    NonlinearBlur,
    PhaseRetrieval,
    Problem,
)
from deft.problems import Inpainting as InpaintingProblem
from deft.problems import SuperResolution as SuperResolutionProblem
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear
from tests.contracts.htransform import HTransformContract
from tests.contracts.learning import LearningContract

DOUBLE = torch.float64
TIMES = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0], dtype=DOUBLE)


class TestLearned(HTransformContract, LearningContract):
    def made(self, prior):
        return LearnedHTransform(
            prior.event_shape, prior.scale, channels=(4, 6), attention=(False, False)
        )

    def h_transform(self, prior):
        torch.manual_seed(0)
        return self.made(prior).double()


class TestWithAStageAtFullResolution(TestLearned):
    def made(self, prior):
        return LearnedHTransform(
            prior.event_shape,
            prior.scale,
            channels=(4, 6),
            patch=2,
            attention=(False, False),
            fine=4,
        )


OPERATORS = {
    "identity": lambda noise: Identity(),
    "pixels of each signal": lambda noise: Inpainting((noise.uniform(0, (1, 6, 8)) < 0.4).double()),
    "averages": lambda noise: SuperResolution(2, (2, 6, 8)),
    "blur": lambda noise: Blur(
        torch.tensor([[[0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.0, 0.2, 0.0]]], dtype=DOUBLE),
        "circular",
    ),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.01, 20), RectifiedFlow(0.01)], ids=lambda s: type(s).__name__
)
def test_untrained_it_is_exact_for_a_white_gaussian(schedule, operator):
    prior = GaussianMixture(
        torch.randn(1, 2, 6, 8, dtype=DOUBLE), torch.tensor([0.36], dtype=DOUBLE), None, schedule
    )
    h = LearnedHTransform(
        prior.event_shape, prior.scale, channels=(4, 4), patch=1, attention=(False, False)
    ).double()
    noise = Noise(range(3), dtype=DOUBLE)
    for sigma_y in (torch.zeros(1), torch.tensor([0.01, 0.3, 5.0])):
        likelihood = GaussianLikelihood(operator(noise).double(), sigma_y.double())
        observation = Observation(
            likelihood.sample(prior.sample(noise), noise.stream(1)), likelihood
        )
        for t in TIMES:
            alpha_t, sigma_t = prior.levels(observation.y, t[None])
            x_t = alpha_t * prior.sample(noise.stream(2)) + sigma_t * noise.normal(
                3, prior.event_shape
            )
            denoised = prior.at(x_t, t[None])
            # h keeps the scale of the prior in single precision
            torch.testing.assert_close(
                h.shift(denoised, observation),
                Exact(prior).shift(denoised, observation),
                rtol=0,
                atol=1e-6,
            )


def test_untrained_it_is_exact_for_white_sequences():
    prior = GaussianMixture(
        torch.zeros(1, 3, 11, dtype=DOUBLE), torch.tensor([0.5], dtype=DOUBLE), None, VPCosine()
    )
    h = LearnedHTransform.for_prior(prior, fraction=0.5).double()
    likelihood = GaussianLikelihood(
        Inpainting((torch.arange(11) % 3 == 0).double()[None, None]), 0.2
    )
    noise = Noise(range(2), dtype=DOUBLE)
    observation = Observation(likelihood.sample(prior.sample(noise), noise.stream(1)), likelihood)
    denoised = prior.at(noise.normal(2, (3, 11)), torch.tensor([0.3, 0.7], dtype=DOUBLE))
    torch.testing.assert_close(
        h.shift(denoised, observation), Exact(prior).shift(denoised, observation), rtol=0, atol=1e-6
    )


def photographs(n=24, size=16):
    """Random images with the spectrum of photographs, in [-1, 1]."""
    frequency = (
        (torch.fft.fftfreq(size)[:, None] ** 2 + torch.fft.rfftfreq(size) ** 2)
        .sqrt()
        .clamp(min=1 / size)
    )
    x = torch.fft.irfft2(torch.fft.rfft2(torch.randn(n, 3, size, size)) / frequency**1.2)
    return x / x.abs().amax((1, 2, 3), keepdim=True)


PROBLEMS: list[type[Problem]] = [InpaintingProblem, SuperResolutionProblem, Deblurring, Denoising]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    "schedule", [VPLinear(), VE(0.002, 80), EDM(), RectifiedFlow()], ids=lambda s: type(s).__name__
)
def test_what_the_network_reads_is_of_order_one(schedule, problem):
    images = photographs()
    prior = UNetPrior((3, 16, 16), schedule, channels=(4, 4), blocks=1, attention=(False, False))
    prior.gaussian.fit(images)
    prior.frozen()
    h = LearnedHTransform(prior.event_shape, prior.scale, channels=(4, 4), attention=(False, False))
    noise = Noise(range(len(images)))
    for sigma_y in (0.0, 0.001, 0.01, 0.1, 0.5, 5.0):
        observation = problem(sigma_y=sigma_y).draw(images, noise)
        for t in torch.tensor([0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])[:, None]:
            alpha_t, sigma_t = prior.levels(images, t)
            denoised = prior.at(alpha_t * images + sigma_t * noise.normal(4, prior.event_shape), t)
            sizes = {
                name: float(value.square().mean().sqrt())
                for name, value in h.inputs(denoised, observation).items()
            }
            assert sizes["x_t"] == pytest.approx(1, abs=0.1)
            assert 0 < sizes["guidance"] < 1.2
            assert sizes["x_0_hat"] < 1.2
            assert 0.5 < sizes["coverage"] <= 1
            # measured: at most 1.4 per unit of signal; a blur amplifies what noise there is
            # fivefold at most
            assert 0.5 < sizes["lift"] < 1.4 + 5 * sigma_y / prior.scale


def squashed(x):
    return torch.tanh(3 * x).sum(1)


NONLINEAR = {
    "saturated": HighDynamicRange(),
    "shaken": NonlinearBlur(),
    "magnitudes": PhaseRetrieval(iterations=20, restarts=1),
    "black box": BlackBox("tests.problems.test_own.signs", lift="tests.problems.test_own.signs"),
    "squashed": BlackBox("tests.htransforms.test_learned.squashed", differentiable=True),
}


@pytest.mark.parametrize("problem", NONLINEAR.values(), ids=NONLINEAR)
@pytest.mark.parametrize("schedule", [VPLinear(), VE(0.002, 80)], ids=lambda s: type(s).__name__)
def test_what_it_reads_of_operators_that_are_not_linear_is_of_order_one(schedule, problem):
    images = photographs()
    prior = UNetPrior((3, 16, 16), schedule, channels=(4, 4), blocks=1, attention=(False, False))
    prior.gaussian.fit(images)
    prior.frozen()
    h = LearnedHTransform(prior.event_shape, prior.scale, channels=(4, 4), attention=(False, False))
    noise = Noise(range(len(images)))
    observation = problem.draw(images, noise)
    for t in torch.tensor([0.0, 0.1, 0.5, 1.0])[:, None]:
        alpha_t, sigma_t = prior.levels(images, t)
        denoised = prior.at(alpha_t * images + sigma_t * noise.normal(4, prior.event_shape), t)
        sizes = {
            name: float(value.square().mean().sqrt())
            for name, value in h.inputs(denoised, observation).items()
        }
        assert 0 < sizes["guidance"] < 3.001
        # two levels, -1 and 1, are the largest that a lift gives here
        assert 0.3 < sizes["lift"] < 1.1 / prior.scale
        assert h.shift(denoised, observation).isfinite().all()


def test_it_is_shown_the_lift_as_its_estimate_stands():
    """Of a photograph and itself upside down, which have the same magnitudes, the one that
    x_0_hat looks like.
    """
    images = photographs(4)
    prior = UNetPrior((3, 16, 16), VPLinear(), channels=(4, 4), blocks=1, attention=(False, False))
    h = LearnedHTransform(prior.event_shape, 1.0, channels=(4, 4), attention=(False, False))
    observation = PhaseRetrieval(0.0, iterations=20, restarts=1).draw(images, Noise(range(4)))
    observation = observation.with_lift(images.flip((2, 3)))
    denoised = replace(
        prior.at(images, torch.tensor([0.3])), x_0_hat=images + 0.1 * torch.randn_like(images)
    )
    torch.testing.assert_close(h.inputs(denoised, observation)["lift"], images)


def test_a_lift_of_another_shape_is_refused():
    class Summary(ForwardOperator):
        def forward(self, x_0):
            return x_0.sum(1)

        def lift(self, y):
            return y

    prior = UNetPrior(
        (3, 8, 8), VPLinear(), channels=(4, 4), blocks=1, attention=(False, False)
    ).frozen()
    h = LearnedHTransform(prior.event_shape, prior.scale, channels=(4, 4), attention=(False, False))
    with pytest.raises(
        InvalidInput,
        match=r"Summary lifts its measurements to signals of shape \(8, 8\); .* made for \(3, 8, "
        r"8\)",
    ):
        Posterior(prior, h, Observation(torch.zeros(1, 8, 8), GaussianLikelihood(Summary(), 0.1)))


def test_it_is_what_the_module_says():
    """r_t (NN1 + NN2 r_t g), with NN1 and NN2 asked directly."""
    prior = UNetPrior(
        (1, 8, 8), VPLinear(), channels=(4, 4), blocks=1, attention=(False, False)
    ).frozen()
    h = LearnedHTransform((1, 8, 8), 0.5, channels=(4, 4), attention=(False, False))
    for p in h.parameters():
        p.data += 0.1 * torch.randn_like(p)
    x_0 = torch.randn(2, 1, 8, 8)
    observation = SuperResolutionProblem(2, sigma_y=(0.1, 0.4)).draw(x_0, Noise([0, 1]))
    denoised = prior.at(x_0, torch.tensor([0.2, 0.6]))
    alpha_t, sigma_t = denoised.alpha_t, denoised.sigma_t
    r_t = 0.5 * sigma_t / (alpha_t**2 * 0.25 + sigma_t**2).sqrt()
    a = torch.block_diag(*[torch.full((1, 2), 0.5)] * 4)
    a = torch.kron(a, a)
    s_y = observation.sigma_y
    residual = observation.y.flatten(1) - denoised.x_0_hat.flatten(1) @ a.T
    systems = (r_t**2).reshape(2, 1, 1) * (a @ a.T) + (s_y**2)[:, None, None] * torch.eye(16)
    g = (torch.linalg.solve(systems, residual) @ a).reshape(2, 1, 8, 8)
    marginal = (alpha_t**2 * 0.25 + sigma_t**2).sqrt()
    lift = torch.nn.functional.interpolate(
        observation.y, scale_factor=2
    )  # the pseudo-inverse of averages repeats them
    reads = torch.cat(
        [
            denoised.x_t / marginal,
            denoised.x_0_hat / 0.5,
            r_t * g,
            lift / 0.5,
            torch.ones_like(x_0),
        ],
        dim=1,
    )
    numbers = torch.stack([2 * (alpha_t / sigma_t).log().flatten(), 2 * (s_y + 1e-3).log()], dim=1)
    expected = r_t * (h.nn1(reads, numbers) + h.nn2(numbers)[:, :, None, None] * r_t * g)
    torch.testing.assert_close(h.shift(denoised, observation), expected, rtol=1e-4, atol=1e-5)


def test_a_stage_at_full_resolution_is_asked_for():
    """It starts as nothing, adds a few parameters, and stands in the card only where it is."""
    prior = UNetPrior((1, 8, 8), VPLinear(), channels=(16, 16), blocks=1, attention=(False, False))
    without, fine = (
        LearnedHTransform.for_prior(prior, fraction=0.5, **others) for others in ({}, {"fine": 4})
    )
    assert "fine" not in without.config
    assert fine.config["fine"] == 4
    assert fine.nn1.fine is not None
    assert 0.35 * prior.num_parameters < fine.num_parameters < 0.65 * prior.num_parameters
