import json

import pytest

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.base import NoConditioning
from deft.htransforms.composed import Scaled
from deft.htransforms.dps import DPS
from deft.noise import Noise
from deft.priors.callable import CallablePrior
from deft.problems import Inpainting
from deft.samplers.ddim import DDIM
from deft.samplers.ddrm import DDRM
from deft.schedules import VPLinear
from deft.studies.method import Method, describe, folder_name


def test_descriptions_tell_settings_apart(h_transform):
    assert describe(DDIM(5)) != describe(DDIM(6))
    assert describe(DDIM(5)) == describe(DDIM(5))
    assert describe(Scaled(DPS(1.0), 2.0)) != describe(Scaled(DPS(3.0), 2.0))
    assert describe(h_transform) == describe(h_transform)
    assert describe(DPS.published(1.0)) != describe(DPS.published(2.0))
    json.dumps(describe(h_transform))


def test_labels_become_folders():
    assert folder_name("DPS, 100 steps (tuned)") == "dps-100-steps-tuned"
    assert folder_name("σ") == "method"
    assert Method("No h", None, DDIM(2)).folder == "no-h"


def test_a_card_says_what_samples_depend_on():
    card = Method("a", DPS(1.0), DDIM(3), training_seconds=5.0, notes="slow", images=3).card()
    assert card == Method("a", DPS(1.0), DDIM(3)).card()
    assert card != Method("a", DPS(1.0), DDIM(4)).card()
    assert card["sampler"]["class"] == "DDIM"


def test_what_does_not_apply_is_refused_with_its_label_and_nothing_is_evaluated(images):
    def denoise(x_t, t):
        raise AssertionError("evaluated")

    box = CallablePrior(denoise, VPLinear(), (1, 16, 16), 1.0, differentiable=False)
    observation = Inpainting(sigma_y=0.05).draw(images, Noise(range(len(images))))
    Method("a", NoConditioning(), DDRM(2)).check(box, observation)
    with pytest.raises(
        PriorNotDifferentiable, match="first: DPS needs gradients through CallablePrior"
    ):
        Method("first", DPS(1.0), DDIM(2)).check(box, observation)
    with pytest.raises(InvalidInput, match="second: DDRM conditions by itself"):
        Method("second", Scaled(NoConditioning(), 1.0), DDRM(2)).check(box, observation)


@pytest.mark.parametrize("images", [0, -1])
def test_a_number_of_images_that_cannot_be_meant(images):
    with pytest.raises(InvalidInput) as raised:
        Method("a", None, DDIM(1), images=images)
    assert (raised.value.what, raised.value.given) == ("images", images)
    assert "at least 1" in raised.value.expected
