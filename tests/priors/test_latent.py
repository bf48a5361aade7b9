"""A pipeline of latents and its autoencoder, as one prior."""

import shutil

import pytest
import torch

import deft
from deft.codec import CallableCodec
from deft.errors import CheckpointError, InvalidInput
from deft.likelihoods import GaussianLikelihood
from deft.operators import JPEG
from deft.operators.composed import Composed
from deft.priors import autoencoder, latent
from deft.priors.identity import same_identity
from tests.contracts.prior import PriorContract
from tests.priors import latent_tiny as made

PROBLEM = deft.problems.Inpainting("box", sigma_y=0.05)


def prior(**changes):
    codec = autoencoder.Autoencoder(made.kl(**changes), (4, 8, 8))
    betas = deft.VPTabulated.linear()
    inner = deft.priors.diffusers.DiffusersPrior(made.unet(), betas, scale=1.0)
    return latent.LatentPrior(inner, codec)


def pictures(n=3, seed=0):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class TestLatentPrior(PriorContract):
    tolerance = 1e-5  # single precision

    def prior(self):
        return prior()


@pytest.mark.parametrize(
    ("name", "build", "channels"),
    [("vae", made.kl, 4), ("vqvae", made.vq, 2), ("vae", made.tiny, 4)],
)
def test_a_folder_is_one_prior(tmp_path, name, build, channels):
    size = 4 if build is made.tiny else 8
    network = made.unet(in_channels=channels, out_channels=channels, sample_size=size)
    made.pipeline(tmp_path, build(), network, name)
    found = deft.priors.load(str(tmp_path))
    assert (found.event_shape, found.signal_shape) == ((channels, size, size), (3, 16, 16))
    assert (found.scale, found.value_range, found.name) == (1.0, (-1.0, 1.0), tmp_path.name)
    assert found.num_parameters == sum(p.numel() for p in network.parameters())
    scheduler, x_t = made.scheduler(), torch.randn(2, *found.event_shape)
    for k in (3, 500, 998):
        with torch.no_grad():
            expected = scheduler_says(scheduler, network.eval()(x_t, k).sample, k, x_t)
        x_0_hat = found.denoise(x_t, torch.tensor([k / 999], dtype=torch.float64))
        torch.testing.assert_close(x_0_hat, expected, rtol=1e-4, atol=1e-4)
    z = found.encode(pictures())
    torch.testing.assert_close(found.decode(z[:, None])[:, 0], found.codec.decode(z))


def scheduler_says(scheduler, out, k, x_t):
    alpha = scheduler.alphas_cumprod[k]
    return (x_t - (1 - alpha).sqrt() * out) / alpha.sqrt()


def test_what_a_user_says_of_the_schedule_counts(tmp_path):
    made.pipeline(tmp_path)
    shutil.rmtree(tmp_path / "scheduler")
    with pytest.raises(InvalidInput):
        deft.priors.load(str(tmp_path))
    found = deft.priors.load(str(tmp_path), schedule="linear", prediction_type="v_prediction")
    assert found.prediction == "v_prediction"
    assert (
        latent.load(tmp_path, schedule="linear", prediction_type="sample", scale=0.7).scale == 0.7
    )


def test_who_it_is_depends_on_both_networks():
    one, other = prior().identity(), prior(scaling_factor=0.5).identity()
    assert one["signal_shape"] == [3, 16, 16]
    assert not same_identity(one, prior().identity())
    assert same_identity(one, other)


def test_what_does_not_fit_is_refused(tmp_path):
    inner = deft.priors.diffusers.DiffusersPrior(
        made.unet(sample_size=4), deft.VPTabulated.linear()
    )
    codec = autoencoder.Autoencoder(made.kl(), (4, 8, 8))
    for given, what in (((inner, codec), "autoencoder"), ((prior(), codec), "prior")):
        with pytest.raises(InvalidInput) as raised:
            latent.LatentPrior(*given)
        assert raised.value.what == what
    made.pipeline(tmp_path)
    made.unet().save_pretrained(tmp_path / "unet_ema")
    for subfolder in (None, "unet_2"):
        with pytest.raises(InvalidInput) as raised:
            latent.load(tmp_path, subfolder=subfolder)
        assert "unet_ema" in str(raised.value)
    assert latent.load(tmp_path, subfolder="unet_ema").event_shape == (4, 8, 8)
    shutil.rmtree(tmp_path / "vae")
    with pytest.raises(CheckpointError):  # model_index.json names it
        latent.load(tmp_path)
    (tmp_path / "model_index.json").unlink()
    with pytest.raises(InvalidInput) as raised:
        latent.load(tmp_path)
    assert "vae" in raised.value.expected


class Counting(torch.nn.Module):
    """A codec that counts."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 16, generator=_seed()) / 4)
        self.forwards, self.backwards = [], []

    def decode(self, z):
        self.forwards.append(len(z))
        x = (z.flatten(1) @ self.weight).tanh()
        if x.requires_grad:
            x.register_hook(lambda grad: self.backwards.append(len(grad)))
        return x.unflatten(1, (1, 4, 4))

    def encode(self, x):
        return (x.flatten(1) @ self.weight.T).unflatten(1, (1, 2, 2))


def _seed():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("at_once", [None, 2])
def test_guidance_takes_one_decoding_and_one_product_with_its_derivative(at_once):
    network = Counting()
    codec = CallableCodec(
        network.decode, network.encode, (1, 4, 4), (1, 2, 2), module=network, at_once=at_once
    )
    x = torch.rand(5, 1, 4, 4, generator=_seed()) * 2 - 1
    mask = (torch.rand(5, 1, 4, 4, generator=_seed()) < 0.5).float()
    likelihood = deft.GaussianLikelihood(deft.operators.Inpainting(mask), 0.1)
    observation = likelihood_of(likelihood, x).behind(codec)
    assert isinstance(observation.operator, Composed)
    network.forwards.clear()
    z, r = torch.randn(5, 1, 2, 2, generator=_seed()), torch.linspace(0.1, 0.5, 5)
    found = observation.likelihood.guidance(z, r, observation.y)
    parts = [5] if at_once is None else [2, 2, 1]
    assert network.forwards == network.backwards == parts
    expected = r[:, None, None, None] * observation.operator.pull(
        z, observation.residual(z), r**2, observation.sigma_y**2
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: (mask[:1] * network.decode(v)).flatten(), z[:1]
    ).reshape(16, 4)
    along = (jacobian.T @ observation.residual(z)[0].flatten()).reshape(1, 2, 2)
    cosine = torch.nn.functional.cosine_similarity(found[0].flatten(), along.flatten(), dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-5)


def likelihood_of(likelihood, x):
    return deft.Observation(likelihood.sample(x, deft.Noise(range(len(x)))), likelihood)


def test_the_prior_is_never_differentiated():
    model, asked = prior(), []
    inner = model.prior
    denoise = inner.denoise

    def watched(x_t, t):
        asked.append(torch.is_grad_enabled() and x_t.requires_grad)
        return denoise(x_t, t)

    inner.denoise = watched
    h = deft.LearnedHTransform(model.event_shape, model.scale, channels=(4,), attention=(False,))
    observation = PROBLEM.draw(pictures(), deft.Noise(range(3)))
    z = deft.DPMSolver(3)(deft.Posterior(model, h, observation), 2, seed=0)
    deft.train(h, model, deft.DenoisingScoreMatching(PROBLEM), pictures(8), steps=1, batch_size=4)
    assert z.shape == (3, 2, 4, 8, 8)
    assert asked
    assert not any(asked)


def test_a_codec_in_single_precision_takes_double():
    """log p(y | x) is computed in double, for an operator that can be."""
    network = torch.nn.Conv2d(3, 3, 1)
    codec = CallableCodec(network, network, (3, 8, 8), (3, 8, 8), module=network)
    assert codec.decode(torch.zeros(1, 3, 8, 8).double()).dtype == torch.float64
    likelihood = GaussianLikelihood(JPEG(), 0.1).behind(codec)
    y = torch.zeros(2, 3, 8, 8)
    assert bool(likelihood.log_prob(torch.zeros(2, 3, 8, 8), y).isfinite().all())
