"""Each fault is planted in what is assumed of a small network trained on digits, found and named;
without one, none is.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors import adm
from deft.priors.callable import CallablePrior
from deft.priors.spectral_gaussian import SpectralGaussian
from deft.schedules import VPLinear
from deft.studies.assumptions import LEVELS, changes, examined
from deft.types import expand

GOLDEN = Path(__file__).parents[1] / "golden"
RIGHT = {
    "value_range": (-1.0, 1.0),
    "noise_schedule": "linear",
    "prediction_type": "epsilon",
    "attention_order": "legacy",
    "heads": {"num_heads": 2},
}
FAULTS = {
    "value_range": (0.0, 1.0),
    "noise_schedule": "cosine",
    "prediction_type": "v_prediction",
    "attention_order": "new",
    "heads": {"num_heads": 4},
}


def made(assumptions):
    said = {k: v for k, v in assumptions.items() if k not in ("heads", "noise_schedule")}
    return adm.load(
        GOLDEN / "adm_digits.safetensors",
        image_size=16,
        schedule=assumptions["noise_schedule"],
        dtype=torch.float32,
        **said,
        **assumptions["heads"],
    )


@pytest.fixture(scope="module")
def images():
    pixels = torch.from_numpy(np.load(GOLDEN / "adm_digits.npy"))
    return pixels[:24, None].float() / 127.5 - 1


def test_the_network_has_heads_of_unequal_width():
    prior = made(RIGHT)
    layers = [m for m in prior.unet.modules() if hasattr(m, "to_q")]
    assert {(m.heads, m.to_q.in_features) for m in layers} == {(2, 32), (2, 64)}
    assert (GOLDEN / "adm_digits.safetensors").stat().st_size < 3e6


def test_nothing_is_doubted_where_all_is_right(images):
    found = examined(made, RIGHT, images[:12])
    assert found.doubts == ()
    assert max(found.given) < 1
    assert found.changed == found.given
    assert found.behind == ()


def test_wrong_heads_are_found(images):
    found = examined(made, {**RIGHT, "heads": FAULTS["heads"]}, images[:12])
    assert [(doubt.name, doubt.better) for doubt in found.doubts] == [("heads", RIGHT["heads"])]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_named(name, images):
    found = examined(made, {**RIGHT, name: FAULTS[name]}, images)
    assert [doubt.name for doubt in found.doubts] == [name]
    assert found.doubts[0].given == FAULTS[name]
    assert found.doubts[0].better == RIGHT[name]
    assert max(found.changed) < 1
    assert found.behind == ()


@pytest.mark.slow
def test_two_faults_at_once(images):
    both = {name: FAULTS[name] for name in ("prediction_type", "attention_order")}
    found = examined(made, {**RIGHT, **both}, images)
    assert {doubt.name: doubt.better for doubt in found.doubts} == {n: RIGHT[n] for n in both}


class TestLinear:
    """The best denoiser of Gaussian signals is linear: as good as the one that is fitted."""

    def test_it_is_that_of_the_gaussian(self):
        gaussian = SpectralGaussian((1, 6, 6))
        gaussian.variance.copy_(torch.linspace(0.01, 1, 36).reshape(1, 6, 6))
        z = Noise(range(120)).normal(99, (1, 6, 6))
        images = gaussian.basis.inverse(gaussian.variance.sqrt() * z)

        def denoise(x_t, t):
            return gaussian.denoise(
                x_t, expand(schedule.alpha(t), x_t), expand(schedule.sigma(t), x_t)
            )

        schedule = VPLinear()
        prior = CallablePrior(denoise, schedule, (1, 6, 6), 1.0)
        found = examined(lambda assumed: prior, {}, images)
        assert len(found.given) == len(LEVELS)
        assert all(0.85 < share < 1.0 for share in found.given)


def test_a_network_that_is_behind_is_said_to_be(images):
    """One that returns what it is given: no change of an assumption mends it."""
    schedule = VPLinear()
    prior = CallablePrior(lambda x_t, t: x_t, schedule, (1, 16, 16), 0.5, value_range=(-1.0, 1.0))
    found = examined(lambda assumed: prior, RIGHT, images)
    assert found.doubts == ()
    assert set(found.behind) >= {-3.0, -1.0, 1.0}


def test_every_other_value_is_tried_and_one_that_does_not_fit_is_left_out(images):
    assert {name for name, _ in changes(RIGHT)} == set(RIGHT)
    assert all(value != RIGHT[name] for name, value in changes(RIGHT))
    with pytest.raises(InvalidInput):
        made({**RIGHT, "heads": {"num_head_channels": 64}})  # does not divide 32
