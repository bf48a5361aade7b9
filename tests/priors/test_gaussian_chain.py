"""The Gaussian chain against dense linear algebra, and what every chain prior must keep to: turned
chains, padding, batches.
"""

import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.chain_law import ChainLaw
from deft.priors.chain_spectrum import ChainSpectrum, modes
from deft.priors.gaussian_chain import GaussianChain
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.schedules import EDM, VPCosine
from tests.contracts.prior import PriorContract

DOUBLE = torch.float64
ROTATION = torch.linalg.qr(
    torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
).Q
ROTATION = ROTATION * torch.linalg.det(ROTATION)


def chain(*lengths, longest=12, **more):
    prior = GaussianChain(longest, **more).double()
    return prior.of_length(*lengths) if lengths else prior


def as_mixture(prior):
    """The same Gaussian over flattened chains of one length."""
    covariance = torch.kron(prior.law().covariance[0], torch.eye(3, dtype=DOUBLE))
    mean = torch.zeros(1, *prior.event_shape, dtype=DOUBLE)
    return GaussianMixture(mean, covariance[None], None, prior.schedule)


class TestGaussianChain(PriorContract):
    def prior(self):
        return chain(10)


class TestOfFullLength(PriorContract):
    def prior(self):
        return chain()


def test_modes_are_orthonormal_and_centred():
    c = modes(9)
    torch.testing.assert_close(c @ c.mT, torch.eye(8, dtype=DOUBLE))
    torch.testing.assert_close(c.sum(1), torch.zeros(8, dtype=DOUBLE))


def test_the_spectrum_is_the_formula():
    """At one mode of one length, worked out by hand."""
    s = ChainSpectrum()
    f, w = 27 / 50, 4 * math.sin(math.pi * 27 / 100) ** 2
    bonds = s.bond / (w + s.tether)
    fold = s.fold / (1 + (w / s.fold_at) ** s.fold_power)
    helix = s.helix * math.exp(-0.5 * ((f - s.helix_at) / s.helix_width) ** 2)
    whole = s.whole * 0.5**s.whole_growth / (1 + (27 / s.whole_at) ** s.whole_power)
    assert s.variances(50)[26].item() == pytest.approx(bonds + fold + helix + whole, rel=1e-12)


def test_natives_have_bonds_and_a_size():
    """A bond of 3.8 A, and about the radius of gyration of globules, 2.2 n^0.38 A: more, for
    native chains that are no globules are among those of the fit.
    """
    for n in (60, 100, 200):
        s = modes(n).mT @ (ChainSpectrum().variances(n)[:, None] * modes(n))
        step = s.diagonal()[1:] + s.diagonal()[:-1] - 2 * s.diagonal(1)
        assert math.sqrt(3 * step.mean()) == pytest.approx(3.8, rel=0.02)
        assert 1.0 < math.sqrt(3 * s.trace() / n) / (2.2 * n**0.38) < 1.35


def test_fit_recovers_the_spectrum_of_draws_wherever_they_are_and_turned():
    truth = ChainSpectrum(bond=2.0, fold=500.0, helix=5.0, helix_at=0.5)
    prior = GaussianChain(60, spectrum=truth).double()
    chains = []
    for n in (40, 60):
        drawn = prior.of_length(n).sample(Noise(range(300), dtype=DOUBLE))
        chains += list(drawn @ ROTATION + 50.0)
    found = ChainSpectrum.fit(chains)
    for n in (40, 60, 50):  # of 900 squares each, whose logarithms have s.d. 0.05
        ratio = found.variances(n) / truth.variances(n)
        assert ratio.log().abs().max() < 0.2
        assert ratio.log().abs().mean() < 0.05


def test_the_denoiser_is_that_of_the_same_gaussian():
    prior = chain(9)
    mixture = as_mixture(prior)
    x_t = prior.projected(10 * torch.randn(4, 9, 3, dtype=DOUBLE), prior.mask)
    t = torch.tensor([0.1, 0.4, 0.7, 0.95], dtype=DOUBLE)
    torch.testing.assert_close(prior.denoise(x_t, t), mixture.denoise(x_t, t))
    alpha_t, sigma_t = prior.levels(x_t, t)
    mask = prior.mask_for(x_t)
    torch.testing.assert_close(prior.wiener(x_t, alpha_t, sigma_t, mask), prior.denoise(x_t, t))


def test_the_density_is_that_of_the_dimensions_that_a_chain_has():
    """The density over all coordinates holds the centre too, which is noise alone."""
    prior = chain(9)
    x_t = 5 * torch.randn(3, 9, 3, dtype=DOUBLE)
    x_t = x_t - x_t.mean(1, keepdim=True)
    t = torch.tensor([0.2, 0.5, 0.8], dtype=DOUBLE)
    centre = -1.5 * (2 * math.pi * prior.schedule.sigma(t) ** 2).log()  # of three numbers at 0
    torch.testing.assert_close(prior.log_prob(x_t, t) + centre, as_mixture(prior).log_prob(x_t, t))


def test_draws_have_the_covariance():
    prior = chain(6)
    x = prior.sample(Noise(range(20_000), dtype=DOUBLE))
    found = torch.einsum("bic,bjd->icjd", x, x).mean((1, 3)) * 3 / len(x)
    each = torch.einsum("bic,bjc->ij", x, x) / (3 * len(x))
    expected = prior.law().covariance[0]
    largest = expected.diagonal().max()
    assert (each - expected).abs().max() < 0.04 * largest  # 4 s.e. of 60,000 products
    cross = found - each  # between x, y and z
    assert cross.abs().max() < 0.04 * largest


def test_each_length_has_its_own_filter():
    prior = chain(7, 12, 7)
    x_t = prior.projected(10 * torch.randn(3, 12, 3, dtype=DOUBLE), prior.mask)
    t = torch.full((3,), 0.5, dtype=DOUBLE)
    together = prior.denoise(x_t, t)
    for i, n in enumerate((7, 12, 7)):
        alone = chain(n).denoise(x_t[i : i + 1, :n], t[:1])
        torch.testing.assert_close(together[i, :n], alone[0])
    assert (together[0, 7:] == 0).all()


def test_the_filter_of_a_schedule_is_that_of_another_at_one_log_snr():
    one, other = chain(9, schedule=VPCosine()), chain(9, schedule=EDM(0.02, 200.0))
    t = torch.tensor([0.5], dtype=DOUBLE)
    s = other.schedule.time(one.schedule.log_snr(t))
    u = torch.randn(1, 9, 3, dtype=DOUBLE)
    torch.testing.assert_close(
        one.denoise(one.schedule.alpha(t) * u, t), other.denoise(other.schedule.alpha(s) * u, s)
    )


def test_a_turned_chain_is_denoised_to_the_turned_estimate():
    prior = GaussianChain(16).of_length(16)  # in single precision, to 1e-4 of the size
    x_t, t = 10 * torch.randn(2, 16, 3), torch.tensor([0.3, 0.8])
    turn = ROTATION.float()
    estimate = prior.denoise(x_t, t)
    moved = prior.denoise(x_t @ turn.mT + 4.0, t)
    assert (moved - estimate @ turn.mT).abs().max() < 1e-4
    assert (prior.denoise(-x_t, t) + estimate).abs().max() < 1e-4  # mirror images are alike


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_same_design_for_the_same_seed(eta):
    prior, sampler = GaussianChain(32), DDIM(steps=20, eta=eta)
    together = sampler(prior.of_length(20, 32, 20), seed=[3, 4, 5])
    alone = sampler(prior.of_length(20), seed=[3])
    padded = sampler(prior.given(mask=torch.arange(29) < 20), seed=[3])
    assert (together[0, 0, :20] - alone[0, 0]).abs().max() < 1e-4
    assert (padded[0, 0, :20] - alone[0, 0]).abs().max() < 1e-4
    drawn = prior.of_length(20, 32, 20).sample(Noise([3, 4, 5]))
    assert (drawn[0, :20] - prior.of_length(20).sample(Noise([3]))[0]).abs().max() < 1e-4


def test_samples_have_the_law():
    prior = chain(8)
    x = DDIM(steps=150, eta=1.0)(prior, 1500, seed=0)[0]
    law = prior.law()
    ratio = (law.axes[0].mT @ x).square().mean((0, 2))[:7] / law.variances[0, :7]
    # 4,500 squares: four standard errors of 2.1 %, and the error of 150 steps
    assert (ratio - 1).abs().max() < 0.13


def law_of(n=7):
    return chain(n).law()


def test_a_conditioned_law_is_that_of_dense_algebra():
    law, rows = law_of(), torch.eye(7, dtype=DOUBLE)[None, [1, 2, 5]]
    y = torch.randn(4, 3, 3, dtype=DOUBLE)
    sigma_y = torch.tensor([0.1, 0.5, 2.0, 1e-3], dtype=DOUBLE)
    found, log_y = law.given(rows, y, sigma_y)
    a = torch.kron(rows[0], torch.eye(3, dtype=DOUBLE))[None]
    mixture = as_mixture(chain(7))
    posterior = mixture.posterior(a, y.flatten(1), sigma_y)
    mean, covariance = posterior.moments()
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.covariance, covariance[:, ::3, ::3], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(log_y, mixture.evidence(a, y.flatten(1), sigma_y), rtol=1e-7, atol=0)
    assert found.alive.sum(1).tolist() == [6] * 4
    torch.testing.assert_close(found.mean.sum(1), torch.zeros(4, 3, dtype=DOUBLE))


def test_conditioning_twice_is_conditioning_on_both():
    law, eye = law_of(), torch.eye(7, dtype=DOUBLE)[None]
    y, s = torch.randn(2, 7, 3, dtype=DOUBLE), torch.tensor([0.3], dtype=DOUBLE)
    both, log_both = law.given(eye[:, [0, 4, 5]], y[:, [0, 4, 5]], s)
    one, log_one = law.given(eye[:, [4]], y[:, [4]], s)
    two, log_two = one.given(eye[:, [0, 5]], y[:, [0, 5]], s)
    torch.testing.assert_close(two.mean, both.mean)
    torch.testing.assert_close(two.covariance, both.covariance)
    torch.testing.assert_close(log_one + log_two, log_both)


def test_without_noise_the_residues_are_where_they_were_seen():
    law, rows = law_of(), torch.eye(7, dtype=DOUBLE)[None, [2, 3]]
    y = torch.randn(1, 2, 3, dtype=DOUBLE)
    found, _ = law.given(rows, y, torch.zeros(1, dtype=DOUBLE))
    torch.testing.assert_close(found.mean[:, [2, 3]], y)
    assert found.covariance[0, 2:4].abs().max() < 1e-9
    assert found.alive.sum() == 6


def test_a_law_of_several_chains_is_packed_and_taken():
    law = chain(7, 12).law()
    again = ChainLaw.of(law.packed()).take([1])
    torch.testing.assert_close(again.covariance, law.covariance[1:])
    assert again.alive.sum() == 11
    assert len(law) == 2
    assert (law.covariance[0, 7:] == 0).all()


@pytest.mark.parametrize(
    ("chains", "given"),
    [
        ([torch.zeros(30, 3)] * 5, "5 of 16"),
        ([torch.full((30, 3), torch.nan)] * 30, "chain 0"),
        ([torch.zeros(8, 3)] * 30, "0 of 16"),
    ],
)
def test_chains_that_no_spectrum_is_fitted_to(chains, given):
    with pytest.raises(InvalidInput) as error:
        ChainSpectrum.fit(chains)
    assert given in error.value.given


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_numbers_of_a_spectrum_are_positive(value):
    with pytest.raises(InvalidInput, match="bond"):
        ChainSpectrum(bond=value)
