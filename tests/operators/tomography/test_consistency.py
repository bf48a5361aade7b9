"""Sinograms that fit better turned over are doubted; right ones never are, noisy or few."""

import pytest
import torch

from deft.data.phantom import shepp_logan
from deft.likelihoods import GaussianLikelihood, Observation, warn_doubts
from deft.noise import Noise
from deft.operators import InUnits, Tomography, Transmission, views
from deft.problems import Tomography as Problem
from deft.schedules import VPLinear

SCANS = {
    "60": {"angles": views(60)},
    "20": {"angles": views(20)},
    "limited": {"angles": views(60, 90.0)},
    "fan": {"angles": views(90, 360.0), "fan": (100.0, 60.0)},
    "short fan": {"angles": views(90, 250.0), "fan": (100.0, 60.0)},
    "square": {"angles": views(68)},
    "golden": {"angles": torch.arange(50) * 111.246},
}


def sinogram(name, noise=0.0, n=48):
    operator = Tomography(n, **SCANS[name])
    x = torch.stack([shepp_logan(n), shepp_logan(n).mT.flip(0) + 0.2])[:, None]
    y = operator(x)
    return operator, y + noise * y.abs().mean() * torch.randn_like(y)


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("name", SCANS)
def test_no_false_alarm(name, noise):
    operator, y = sinogram(name, noise)
    assert operator.doubts(y) == []


@pytest.mark.parametrize("photons", [20.0, 1e3, 1e5])
def test_no_false_alarm_at_low_counts(photons):
    x = 0.05 * shepp_logan(48)[None, None]
    operator = Transmission(Tomography(48, views(60)), photons, floor=0.1)
    y = torch.poisson(operator(x), generator=torch.Generator().manual_seed(0))
    assert operator.doubts(y) == []


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize(
    ("name", "turned", "says"),
    [
        ("fan", lambda y: y.flip(-1), "detector reversed"),
        ("fan", lambda y: y.flip(-2), "detector reversed|other order"),
        ("short fan", lambda y: y.flip(-1), "detector reversed|other order"),
        ("square", lambda y: y.mT, "swapped"),
        ("golden", lambda y: y.flip(-2), "other order|detector and views"),
    ],
)
def test_other_readings_are_doubted(name, turned, says, noise):
    operator, y = sinogram(name, noise)
    for scan, measured in (
        (operator, y),
        (InUnits(operator, 1.0), y),
        (Transmission(operator, 1e4), 1e4 * (-y).exp()),
    ):
        observation = Observation(turned(measured), GaussianLikelihood(scan, 0.1))
        with pytest.warns(UserWarning, match=f"signal (0, )?1 fits much better with .*({says})"):
            assert len(warn_doubts(observation)) == 1


class Upright:
    """A prior that knows one image, up to its brightness."""

    value_range = None

    def __init__(self, known):
        self.known, self.schedule = known, VPLinear()

    def encode(self, x):
        return x

    def at(self, x_t, t):
        share = (
            (x_t * self.known).sum((2, 3), keepdim=True)
            / (self.known**2).sum()
            / self.schedule.alpha(t).to(x_t)
        )
        return type("Denoised", (), {"x_0_hat": share * self.known})


@pytest.mark.parametrize(
    ("name", "turned"),
    [("60", (-1,)), ("60", (-2,)), ("60", (-1, -2)), ("limited", (-1,)), ("20", (-1, -2))],
)
def test_a_prior_knows_what_is_upright(name, turned):
    """An even scan that is turned over is that of an image turned over: a prior can tell."""
    operator, _ = sinogram(name)
    at = torch.linspace(-1, 1, 48)
    prior = Upright((shepp_logan(48) * (1 + 0.6 * at - 0.8 * at[:, None]))[None, None])
    y = operator(prior.known)
    y = y + 0.02 * y.abs().mean() * torch.randn_like(y)
    right, wrong = (
        Observation(each, GaussianLikelihood(operator, 0.1)) for each in (y, y.flip(*turned))
    )
    assert warn_doubts(right, prior) == []
    assert warn_doubts(wrong) == []
    with pytest.warns(UserWarning, match="look much more like signals of the prior with"):
        assert warn_doubts(wrong, prior)


def test_shipped_geometries_at_their_noise():
    for settings in ({"views": 60}, {"views": 20}, {"views": 60, "span": 90.0}):
        problem = Problem(
            **settings, window=(-1000.0, 1500.0), mu_water=0.2, field=40.0, sigma_y=0.08115
        )
        x = 1.2 * shepp_logan(64)[None, None] - 1
        assert warn_doubts(problem.draw(x, Noise([0]))) == []


def test_nothing_measured_is_nothing_doubted():
    operator, y = sinogram("60")
    assert warn_doubts(Observation(y[:0], GaussianLikelihood(operator, 0.1))) == []
