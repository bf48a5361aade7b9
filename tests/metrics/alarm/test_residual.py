"""Statistics of residuals where they are known."""

import math

import pytest
import torch

from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics.alarm.residual import NAMES, residual_statistics
from deft.noise import Noise
from deft.operators import Identity, Inpainting
from deft.operators.matrix import Matrix

DOUBLE = torch.float64
SHAPE = (1, 24, 24)


def named(samples, observation):
    return dict(zip(NAMES, residual_statistics(samples, observation).tolist(), strict=True))


def picture():
    at = torch.linspace(-1, 1, 24, dtype=DOUBLE)
    return torch.exp(-4 * (at[:, None] ** 2 + (at - 0.2) ** 2))[None, None]


def eps(seed=0):
    return Noise([seed], dtype=DOUBLE).normal(0, SHAPE)


def test_the_truth_is_as_usual():
    x = picture()
    found = named(x, Observation(x + 0.1 * eps(), GaussianLikelihood(Identity(), 0.1)))
    assert found["misfit"] == pytest.approx(0, abs=0.2)
    assert found["shared"] == pytest.approx(1, abs=0.2)
    assert found["tails"] == pytest.approx(math.log(3), abs=0.3)
    for name in NAMES[3:]:
        assert abs(found[name]) < 3, name


def test_units_do_not_matter():
    x = picture().repeat(3, 1, 1, 1) + 0.02 * Noise(range(3), dtype=DOUBLE).normal(5, SHAPE)
    y = picture() + 0.1 * eps()
    one = residual_statistics(x, Observation(y, GaussianLikelihood(Identity(), 0.1)))
    ten = residual_statistics(10 * x, Observation(10 * y, GaussianLikelihood(Identity(), 1.0)))
    assert torch.allclose(one, ten, rtol=1e-5)


def test_shared_leaves_the_noise_of_the_samples_out():
    """Samples that differ by white noise of their own share the residual of their mean."""
    y = picture() + 0.1 * eps()
    noise = Noise(range(64), dtype=DOUBLE).normal(5, SHAPE)
    x = picture() + 0.3 * noise
    found = named(x, Observation(y, GaussianLikelihood(Identity(), 0.1)))
    assert math.exp(found["misfit"]) == pytest.approx(10, rel=0.05)
    assert found["shared"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gain", lambda x: 1.3 * x),
        ("blur", lambda x: x + 0.2 * sum(x.roll(k, a) - x for k in (1, -1) for a in (-1, -2))),
        ("blur across", lambda x: x + 0.5 * (x.roll(1, -1) + x.roll(-1, -1) - 2 * x)),
        ("blur down", lambda x: x + 0.5 * (x.roll(1, -2) + x.roll(-1, -2) - 2 * x)),
        ("shift across", lambda x: x.roll(-1, -1)),
        ("shift down", lambda x: x.roll(-1, -2)),
        ("offset", lambda x: x + 0.1),
    ],
)
def test_each_mismatch_has_its_score(name, change):
    x, likelihood = picture(), GaussianLikelihood(Identity(), 0.03)
    usual = named(x, Observation(x + 0.03 * eps(), likelihood))
    found = named(x, Observation(change(x) + 0.03 * eps(), likelihood))
    assert found[name] > max(usual[name], 0) + 3


def test_coloured_noise_is_seen():
    n = eps()
    coloured = (n + n.roll(1, -1)) / math.sqrt(2)
    observed = Observation(picture() + 0.1 * coloured, GaussianLikelihood(Identity(), 0.1))
    found = named(picture(), observed)
    assert found["colour across"] > 6
    assert abs(found["colour down"]) < 4


def test_what_a_mask_hides_has_no_say():
    mask = torch.ones(1, 1, 24, 24, dtype=DOUBLE)
    mask[..., 8:16, 8:16] = 0
    likelihood = GaussianLikelihood(Inpainting(mask), 0.1)
    y = mask * (picture() + 0.1 * eps())
    x = picture()
    other = torch.where(mask > 0, x, 5 * torch.ones_like(x))
    one, two = (residual_statistics(s, Observation(y, likelihood)) for s in (x, other))
    assert torch.allclose(one, two)


def test_vectors_and_short_axes_have_no_neighbours_that_are_not_there():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    likelihood = GaussianLikelihood(Matrix(torch.ones(1, 1, 3, dtype=DOUBLE)), 0.3)
    found = residual_statistics(x, Observation(x[:1].sum(1, keepdim=True), likelihood))
    assert bool(found.isfinite().all())
    assert not found[NAMES.index("colour across")]


def test_without_noise_it_is_defined():
    x = picture()
    found = residual_statistics(x, Observation(x, GaussianLikelihood(Identity(), 0.0)))
    assert bool(found.isfinite().all())
