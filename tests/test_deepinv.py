"""The adapter on deepinv's own objects; run by `make test-all` in an environment that has
deepinv.
"""

import sys
from types import ModuleType

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.pigdm import PiGDM
from deft.interop.deepinv.observation import observation_from_deepinv
from deft.interop.deepinv.operators import from_deepinv
from deft.interop.deepinv.problem import Deepinv
from deft.interop.deepinv.reconstructor import DeepinvReconstructor
from deft.likelihoods import EmissionLikelihood, GaussianLikelihood, PoissonLikelihood
from deft.noise import Noise
from deft.operators import LinearOperator
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.samplers.ddrm import DDRM
from deft.samplers.diffpir import DiffPIR
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPLinear

pytestmark = pytest.mark.deepinv

SIZE = 16
SHAPE = (1, SIZE, SIZE)


@pytest.fixture(scope="module")
def deepinv():
    if (
        torch.version.cuda is None
    ):  # torchvision's operators do not fit a torch without CUDA; deepinv.physics needs none
        sys.modules.setdefault(
            "torchvision._meta_registrations", ModuleType("torchvision._meta_registrations")
        )
    import deepinv

    return deepinv


def kernel():
    return torch.tensor([[[[0.0, 0.1, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.1]]]])


LINEAR = {
    "Denoising": (SHAPE, lambda p: p.Denoising()),
    "Inpainting": (SHAPE, lambda p: p.Inpainting(img_size=SHAPE, mask=0.5)),
    "Downsampling": (SHAPE, lambda p: p.Downsampling(img_size=SHAPE, factor=2, filter="gaussian")),
    "Blur": (SHAPE, lambda p: p.Blur(filter=kernel(), padding="circular")),
    "BlurFFT": (SHAPE, lambda p: p.BlurFFT(img_size=SHAPE, filter=kernel())),
    "MRI": (
        (2, SIZE, SIZE),
        lambda p: p.MRI(
            mask=(torch.rand(1, 1, 1, SIZE) < 0.5).float().expand(1, 2, SIZE, SIZE).clone(),
            img_size=(2, SIZE, SIZE),
        ),
    ),
    "CompressedSensing": (SHAPE, lambda p: p.CompressedSensing(m=40, img_size=SHAPE)),
    "Tomography": (SHAPE, lambda p: p.Tomography(angles=12, img_width=SIZE, normalize=False)),
    "SinglePixelCamera": (SHAPE, lambda p: p.SinglePixelCamera(m=40, img_size=SHAPE)),
    "Decolorize": ((3, SIZE, SIZE), lambda p: p.Decolorize()),
    "composed": (
        SHAPE,
        lambda p: (
            p.Blur(filter=kernel(), padding="circular") * p.Inpainting(img_size=SHAPE, mask=0.5)
        ),
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_physics(deepinv, name):
    shape, make = LINEAR[name]
    physics = make(deepinv.physics)
    operator = from_deepinv(physics, shape)
    assert isinstance(operator, LinearOperator)
    x_0, u = 2 * torch.rand(2, *shape) - 1, torch.randn(2, *shape)
    y = operator(x_0)
    torch.testing.assert_close(y, physics.A((x_0 + 1) / 2), rtol=1e-4, atol=1e-5)
    v = torch.randn_like(y)
    a, b = (operator.linear(u) * v).flatten(1).sum(1), (u * operator.adjoint(v)).flatten(1).sum(1)
    scale = operator.linear(u).flatten(1).norm(dim=1) * v.flatten(1).norm(dim=1)
    assert ((a - b).abs() < 1e-5 * scale).all()  # single precision
    assert (
        operator.lift(y).shape
        == operator.pull(x_0, v, torch.tensor([0.5]), torch.tensor([0.1])).shape
        == x_0.shape
    )
    torch.testing.assert_close(operator.take([1])(x_0[1:]), y[1:], rtol=1e-4, atol=1e-5)


def test_an_adjoint_that_is_approximate(deepinv):
    def physics():
        return deepinv.physics.Tomography(
            angles=12, img_width=SIZE, normalize=False, adjoint_via_backprop=False
        )

    with pytest.raises(
        InvalidInput, match=r"A_adjoint in Tomography is not its adjoint.*adjoint_via_backprop"
    ):
        from_deepinv(physics(), SHAPE)
    with pytest.raises(
        InvalidInput, match="the derivative of A in Tomography is not its adjoint"
    ):  # it is that of their own backward
        from_deepinv(physics(), SHAPE, adjoint="autograd")


def test_physics_that_are_not_linear(deepinv):
    physics = deepinv.physics.Physics(A=lambda x, **_: x**2)
    operator = from_deepinv(physics, SHAPE)
    assert not isinstance(operator, LinearOperator)
    x_0 = (2 * torch.rand(2, *SHAPE) - 1).requires_grad_()
    y = operator(x_0)
    torch.testing.assert_close(y, (x_0 + 1) ** 2 / 4)
    assert torch.autograd.grad(y.sum(), x_0)[0].isfinite().all()
    unwrapping = from_deepinv(deepinv.physics.SpatialUnwrapping(mode="round"), SHAPE)
    assert unwrapping(x_0.detach()).shape == x_0.shape


def test_what_cannot_be_adapted(deepinv):
    p = deepinv.physics
    with pytest.raises(InvalidInput, match="not one tensor"):
        from_deepinv(p.stack(p.Denoising(), p.Denoising()), SHAPE)
    with pytest.raises(InvalidInput, match="has a sensor_model"):
        from_deepinv(
            p.LinearPhysics(
                A=lambda x, **_: x, A_adjoint=lambda y, **_: y, sensor_model=torch.sign
            ),
            SHAPE,
        )
    for noise in (p.PoissonGaussianNoise(), p.LaplaceNoise(), p.SaltPepperNoise(), p.RicianNoise()):
        with pytest.raises(
            InvalidInput,
            match=rf"{type(noise).__name__} has no likelihood here; known are ZeroNoise, "
            r"GaussianNoise",
        ):
            observation_from_deepinv(torch.zeros(1, *SHAPE), p.Denoising(noise_model=noise), SHAPE)
    with pytest.raises(InvalidInput, match=r"measures signals of shape \(1, 16, 16\) as"):
        observation_from_deepinv(torch.zeros(1, 1, 3, 3), p.Denoising(), SHAPE)


@pytest.mark.parametrize("name", ["Inpainting", "Downsampling", "Tomography"])
def test_gaussian_noise_and_none(deepinv, name):
    shape, make = LINEAR[name]
    physics, x_0 = make(deepinv.physics), 2 * torch.rand(3, *shape) - 1
    for noise, sigma_y in (
        (deepinv.physics.ZeroNoise(), 0.0),
        (deepinv.physics.GaussianNoise(0.05), 0.05),
    ):
        physics.set_noise_model(noise)
        observation = observation_from_deepinv(physics((x_0 + 1) / 2), physics, shape)
        assert isinstance(observation.likelihood, GaussianLikelihood)
        assert float(observation.sigma_y) == pytest.approx(sigma_y)
        misfit = observation.likelihood.misfit(x_0, observation.y)
        assert ((misfit - 1).abs() < 0.25 if sigma_y else misfit < 1e-5).all()


@pytest.mark.parametrize("normalize", [True, False])
def test_poisson_noise(deepinv, normalize):
    noise = deepinv.physics.PoissonNoise(gain=0.02, normalize=normalize, clip_positive=True)
    physics = deepinv.physics.Downsampling(
        img_size=SHAPE, factor=2, filter="gaussian", noise_model=noise
    )
    x_0 = 2 * torch.rand(3, *SHAPE) - 1
    observation = observation_from_deepinv(physics((x_0 + 1) / 2), physics, SHAPE)
    assert isinstance(observation.likelihood, EmissionLikelihood)
    assert ((observation.likelihood.misfit(x_0, observation.y) - 1).abs() < 0.3).all()
    brighter = torch.full_like(x_0, 0.9)
    assert (
        observation.likelihood.log_prob(x_0, observation.y)
        > observation.likelihood.log_prob(brighter, observation.y)
    ).all()


def test_poisson_noise_before_a_logarithm(deepinv):
    noise = deepinv.physics.LogPoissonNoise(N0=1000.0, mu=0.1)
    physics = deepinv.physics.Tomography(
        angles=12, img_width=SIZE, normalize=False, noise_model=noise
    )
    x_0 = 2 * torch.rand(2, *SHAPE) - 1
    observation = observation_from_deepinv(physics((x_0 + 1) / 2), physics, SHAPE)
    assert isinstance(observation.likelihood, PoissonLikelihood)
    assert ((observation.likelihood.misfit(x_0, observation.y) - 1).abs() < 0.3).all()


def gaussian():
    prior = GaussianMixture(torch.zeros(1, *SHAPE), torch.tensor([0.25]), None, VPLinear())
    prior.value_range = (-1.0, 1.0)
    return prior


def test_a_sampler_as_a_reconstructor(deepinv):
    """For a white Gaussian prior and a mask the mean of the samples is known: y / (1 + sigma_y^2
    / s^2) where measured, 0 elsewhere.
    """
    prior = gaussian()
    masks = (torch.rand(2, 1, SIZE, SIZE) < 0.5).float()
    physics = deepinv.physics.Inpainting(
        img_size=SHAPE, mask=masks, noise_model=deepinv.physics.GaussianNoise(0.05)
    )
    x_0 = prior.sample(Noise([1, 2]))
    y = physics((x_0 + 1) / 2)
    model = DeepinvReconstructor(
        prior, PiGDM(prior.scale), DDIM(20, eta=1.0, grid=UniformLogSNR()), num_samples=32
    )
    found = 2 * model(y, physics) - 1
    assert torch.equal(physics.mask, masks)
    signed = masks * (2 * y - 1)
    torch.testing.assert_close(found, signed * 0.25 / (0.25 + 0.01), rtol=0, atol=5 * 0.5 / 32**0.5)
    assert float((found - signed * 0.25 / 0.26).square().mean()) < 1.5 * 0.25 / 32
    assert torch.equal(model(y, physics), model(y, physics))
    assert model.samples(y, physics).shape == (2, 32, *SHAPE)


def test_methods_of_every_kind_run_on_a_physics(deepinv):
    prior, physics = (
        gaussian(),
        deepinv.physics.Downsampling(img_size=SHAPE, factor=2, filter="gaussian"),
    )
    physics.set_noise_model(deepinv.physics.GaussianNoise(0.05))
    y = physics((prior.sample(Noise([1, 2])) + 1) / 2)
    for h_transform, sampler in ((DPS(1.0), DDIM(3, eta=1.0)), (NoConditioning(), DiffPIR(3))):
        x = DeepinvReconstructor(prior, h_transform, sampler)(y, physics)
        assert x.shape == (2, *SHAPE)
        assert x.isfinite().all()
    with pytest.raises(InvalidInput, match="DDRM needs the singular values"):
        DDRM(2).check(
            Posterior(prior, NoConditioning(), observation_from_deepinv(y, physics, SHAPE))
        )


def blurred():
    import deepinv

    return deepinv.physics.Blur(
        filter=kernel(), padding="circular", noise_model=deepinv.physics.GaussianNoise(0.1)
    )


def photographed():
    import deepinv

    return deepinv.physics.Inpainting(
        img_size=SHAPE, mask=0.5, noise_model=deepinv.physics.PoissonNoise(0.01)
    )


def holes(x_0, noise):
    return {"mask": (noise.uniform(0, SHAPE) < 0.5).to(x_0)}


def test_problems(deepinv):
    x_0, noise = 2 * torch.rand(3, *SHAPE) - 1, Noise([1, 2, 3])
    problem = Deepinv("tests.test_deepinv.blurred")
    observation = problem.draw(x_0, noise)
    assert problem.sigma_y == pytest.approx(0.1)
    assert ((observation.likelihood.misfit(x_0, observation.y) - 1).abs() < 0.25).all()
    problem = Deepinv("tests.test_deepinv.photographed", parameters="tests.test_deepinv.holes")
    observation = problem.draw(x_0, noise)
    assert isinstance(observation.likelihood, EmissionLikelihood)
    torch.testing.assert_close(problem.draw(x_0[1:2], noise.take([1])).y, observation.y[1:2])
    torch.testing.assert_close(
        observation.take([2]).residual(x_0[2:]), observation.residual(x_0)[2:]
    )
