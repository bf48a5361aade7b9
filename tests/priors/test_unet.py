import pytest
import scipy.fft
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.spectral_gaussian import Cosines, SpectralGaussian
from deft.priors.unet import UNetPrior
from deft.schedules import VPCosine, VPLinear
from tests.contracts.prior import PriorContract

DOUBLE = torch.float64


def spread_out(shape, n=64):
    """Smooth signals with a mean and a slope over channels."""
    u = torch.randn(n, shape[0], *(1,) * (len(shape) - 1), dtype=DOUBLE)
    place = torch.linspace(-1, 1, shape[-1], dtype=DOUBLE)
    return (0.3 + 0.4 * u + u.flip(0) * place + 0.2 * torch.randn(n, *shape, dtype=DOUBLE)).float()


def made(shape, basis="cosines", *, trained=True, **options):
    """A prior of signals of any shape; a trained one has a network that says something."""
    torch.manual_seed(0)
    prior = UNetPrior(
        shape,
        VPLinear(),
        channels=(4, 4),
        blocks=1,
        patch=2,
        attention=(False, True),
        basis=basis,
        **options,
    )
    prior.gaussian.fit(spread_out(shape))
    if trained:
        for p in prior.network.parameters():
            p.data += 0.1 * torch.randn_like(p)
    return prior.double().frozen()


class TestCosines(PriorContract):
    def prior(self):
        return made((1, 8, 8))


class TestPrincipalAxes(PriorContract):
    def prior(self):
        return made((3, 5, 7), "principal")


class TestLowPrincipalAxesAndFineStageAndGains(PriorContract):
    def prior(self):
        prior = made((3, 18, 7), "low-principal", fine=4, gains=5)
        prior.gain.copy_(torch.linspace(0.2, 1, 5))
        return prior


class TestOneAxis(PriorContract):
    def prior(self):
        return made((2, 11))


def diagonal(basis, shape):
    """A Gaussian with distinct variances along the axes of a basis: mean, covariance, and 2 d
    signals that have exactly these moments.
    """
    d = torch.Size(shape).numel()
    axes = torch.linalg.qr(torch.randn(d, d, dtype=DOUBLE))[0]
    if basis == "cosines":
        axes = torch.linalg.qr(torch.randn(shape[0], shape[0], dtype=DOUBLE))[0].contiguous()
        for n in shape[1:]:
            cosines = scipy.fft.dct(torch.eye(n, dtype=DOUBLE).numpy(), norm="ortho", axis=0)
            axes = torch.kron(axes, torch.from_numpy(cosines))
    variances = torch.linspace(0.05, 1.5, d, dtype=DOUBLE)
    mean = torch.randn(shape, dtype=DOUBLE)
    deviations = (d * variances).sqrt()[:, None] * axes
    signals = mean + torch.cat([deviations, -deviations]).reshape(-1, *shape)
    return mean, axes.T @ (variances[:, None] * axes), signals


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 3, 5), (2, 9)])
@pytest.mark.parametrize("basis", ["cosines", "principal"])
def test_the_filter_is_the_posterior_mean(basis, shape):
    """Fitted to signals whose covariance is diagonal in the basis, it is the dense Gaussian
    denoiser.
    """
    mean, covariance, signals = diagonal(basis, shape)
    gaussian = SpectralGaussian(shape, basis).double().fit(signals)
    dense = GaussianMixture(mean[None], covariance[None], None, VPCosine())
    noise = Noise(range(4), dtype=DOUBLE)
    t = torch.tensor([0.05, 0.4, 0.8, 1.0], dtype=DOUBLE)
    alpha_t, sigma_t = dense.levels(signals[:4], t)
    x_t = alpha_t * dense.sample(noise) + sigma_t * noise.normal(3, shape)
    close = {"rtol": 0, "atol": 2e-6}  # the cosines are rounded to single precision
    torch.testing.assert_close(
        gaussian.denoise(x_t, alpha_t, sigma_t), dense.denoise(x_t, t), **close
    )
    for i in range(4):
        a, s = alpha_t[i].squeeze(), sigma_t[i].squeeze()
        left_over = (
            covariance
            - a**2
            * covariance
            @ torch.linalg.inv(a**2 * covariance + s**2 * torch.eye(len(covariance)))
            @ covariance
        )
        c_t = left_over.diagonal().mean().sqrt()
        torch.testing.assert_close(gaussian.remainder(alpha_t, sigma_t)[i].squeeze(), c_t, **close)


@pytest.mark.parametrize("basis", ["cosines", "low-principal", "principal"])
def test_a_basis_is_orthonormal(basis):
    gaussian = SpectralGaussian((2, 5, 4), basis).fit(spread_out((2, 5, 4)))
    x = torch.randn(3, 2, 5, 4)
    torch.testing.assert_close(gaussian.basis.inverse(gaussian.basis(x)), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(gaussian.basis(x).norm(), x.norm())


def test_low_principal_axes_are_principal_where_they_hold_everything():
    """Up to 16 frequencies per axis the covariance is the full one, whatever the axes of the
    data.
    """
    _, _, signals = diagonal("principal", (2, 3, 4))
    x_t, levels = (
        torch.randn(5, 2, 3, 4, dtype=DOUBLE),
        (torch.tensor([0.6], dtype=DOUBLE), torch.tensor([0.8], dtype=DOUBLE)),
    )
    low, full, cosines = (
        SpectralGaussian((2, 3, 4), basis).double().fit(signals).denoise(x_t, *levels)
        for basis in ("low-principal", "principal", "cosines")
    )
    torch.testing.assert_close(low, full, rtol=0, atol=2e-6)
    assert (cosines - full).abs().max() > 0.01


def test_low_principal_axes_leave_the_high_frequencies_alone():
    signals = torch.randn(200, 1, 20, dtype=DOUBLE).cumsum(-1)
    low = SpectralGaussian((1, 20), "low-principal").double().fit(signals)
    cosines = SpectralGaussian((1, 20), "cosines").double().fit(signals)
    torch.testing.assert_close(low.variance[:, 16:], cosines.variance[:, 16:])
    z = low.basis(signals - signals.mean(0))[:, 0, :16]
    covariance = z.T @ z / 200
    torch.testing.assert_close(
        covariance, covariance.diagonal().diag(), rtol=0, atol=1e-5 * float(covariance.max())
    )


def test_the_gain_is_what_the_network_is_worth():
    """A network that says nothing of the truth gets a gain near zero; between levels the gain is
    linear.
    """
    prior = made((1, 8, 8), gains=3)
    images = spread_out((1, 8, 8), 400).double()
    prior.fit_gain(images)
    assert float(prior.gain.max()) < 0.2
    t = prior.schedule.time(
        torch.tensor(
            [prior.schedule.log_snr_range[0] * 0.75 + prior.schedule.log_snr_range[1] * 0.25],
            dtype=DOUBLE,
        )
    )
    x_t = torch.randn(1, 1, 8, 8, dtype=DOUBLE)
    prior.gain.copy_(torch.tensor([0.2, 0.6, 1.0]))
    alpha_t, sigma_t = prior.levels(x_t, t)
    wiener = prior.gaussian.denoise(x_t, alpha_t, sigma_t)
    expected = wiener + 0.4 * prior.gaussian.remainder(alpha_t, sigma_t) * prior.correction(
        x_t, wiener, t
    )
    torch.testing.assert_close(prior.denoise(x_t, t), expected)
    with pytest.raises(InvalidInput, match="gains=25"):
        made((1, 8, 8)).fit_gain(images)


def test_a_gain_below_one_mends_an_overconfident_network(monkeypatch):
    prior = made((1, 8, 8), gains=3, trained=False)
    images = spread_out((1, 8, 8), 128).double()

    def four_thirds_of_the_truth(x_t, wiener, t):
        alpha_t, sigma_t = prior.levels(x_t, t)
        start = four_thirds_of_the_truth.start
        four_thirds_of_the_truth.start = (start + len(x_t)) % len(images)
        return (
            4
            / 3
            * (images[start : start + len(x_t)] - wiener)
            / prior.gaussian.remainder(alpha_t, sigma_t)
        )

    four_thirds_of_the_truth.start = 0
    monkeypatch.setattr(prior, "correction", four_thirds_of_the_truth)
    prior.fit_gain(images)
    torch.testing.assert_close(prior.gain, torch.full((3,), 0.75, dtype=DOUBLE))


def test_cosines_are_those_of_scipy():
    x = torch.randn(2, 3, 6, 5, dtype=DOUBLE)
    expected = torch.from_numpy(scipy.fft.dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    torch.testing.assert_close(Cosines((3, 6, 5)).double()(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "basis"), [((1, 8, 8), "cosines"), ((3, 5, 7), "principal"), ((2, 11), "cosines")]
)
def test_untrained_it_is_the_filter(shape, basis):
    prior = made(shape, basis, trained=False)
    x_t, t = torch.randn(3, *shape, dtype=DOUBLE), torch.tensor([0.1, 0.5, 1.0], dtype=DOUBLE)
    assert torch.equal(prior.denoise(x_t, t), prior.gaussian.denoise(x_t, *prior.levels(x_t, t)))
    assert not torch.equal(made(shape, basis).denoise(x_t, t), prior.denoise(x_t, t))


def test_the_network_learns_a_target_of_unit_variance():
    prior = made((1, 8, 8), trained=False)
    x_0, noise = spread_out((1, 8, 8), 500).double(), Noise(range(500), dtype=DOUBLE)
    for t in torch.tensor([[0.02], [0.2], [0.5], [0.8], [1.0]], dtype=DOUBLE):
        alpha_t, sigma_t = prior.levels(x_0, t)
        x_t = alpha_t * x_0 + sigma_t * noise.normal(1, (1, 8, 8))
        target = (x_0 - prior.denoise(x_t, t)) / prior.gaussian.remainder(alpha_t, sigma_t)
        assert 0.7 < target.square().mean().sqrt() < 1.4  # 64 signals to fit, 500 others to test


def test_scale_is_the_standard_deviation_about_the_mean():
    signals = spread_out((2, 6, 6))
    prior = made((2, 6, 6), trained=False)
    prior.gaussian.fit(signals.double())
    assert prior.scale == pytest.approx(
        float((signals - signals.mean(0)).square().mean().sqrt()), rel=1e-5
    )


def test_its_configuration_builds_it_again():
    prior = made((3, 5, 7), "principal")
    again = UNetPrior(
        schedule=prior.schedule, **{**prior.config, "value_range": prior.value_range}
    ).double()
    again.load_state_dict(prior.state_dict())
    assert again.identity()["hash"] == prior.identity()["hash"]


def test_an_unknown_basis():
    with pytest.raises(
        InvalidInput, match="one of cosines, low-principal, principal; got 'wavelets'"
    ):
        UNetPrior((1, 8, 8), VPLinear(), basis="wavelets")


@pytest.mark.parametrize(
    ("shape", "basis"),
    [((1, 65_536), "cosines"), ((1, 65_536), "low-principal"), ((3, 64, 64), "principal")],
)
def test_a_basis_that_would_fill_the_memory_is_refused(shape, basis):
    for device in ("cpu", "meta"):
        with torch.device(device), pytest.raises(InvalidInput) as raised:
            UNetPrior(shape, VPLinear(), channels=(8, 8), attention=(False, False), basis=basis)
        assert raised.value.given == list(shape)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_networks_alone(dtype):
    torch.manual_seed(0)
    prior = UNetPrior(
        (2, 8, 8), VPLinear(), channels=(8, 8), blocks=1, patch=1, attention=(False, True)
    )
    x_t, t = torch.randn(2, 2, 8, 8), torch.tensor([0.4])
    expected = prior.denoise(x_t, t)
    half = prior.to(dtype)
    assert half.dtype == torch.float32
    assert half.denoise(x_t, t).dtype == torch.float32
    torch.testing.assert_close(half.denoise(x_t, t), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"event_shape": ()}, "event_shape"),
        ({"event_shape": (1,)}, "event_shape"),
        ({"event_shape": (1, 0, 8)}, "event_shape"),
        ({"event_shape": (1, 8, 8, 8)}, "event_shape"),
        ({"channels": ()}, "channels"),
        ({"attention": (True,)}, "attention"),
        ({"gains": -1}, "gains"),
        ({"gains": 1}, "gains"),
        ({"fine": -1}, "fine"),
        ({"value_range": (1.0, -1.0)}, "value_range"),
        ({"value_range": (float("nan"), 1.0)}, "value_range"),
    ],
)
def test_numbers_that_make_no_prior(settings, what):
    usual = {"event_shape": (1, 8, 8), "channels": (8, 8), "attention": (False, False)} | settings
    with pytest.raises(InvalidInput) as raised:
        UNetPrior(usual.pop("event_shape"), VPLinear(), **usual)
    assert raised.value.what == what
    assert raised.value.given is not None
