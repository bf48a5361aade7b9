import json

import torch

from deft.htransforms.base import Scaled
from deft.htransforms.dps import DPS
from deft.reports.method import Method, describe, folder_name
from deft.samplers.ddim import DDIM
from deft.schedules import VPLinear


def test_descriptions_tell_settings_apart(h_transform):
    assert describe(DDIM(5)) != describe(DDIM(6))
    assert describe(DDIM(5)) == describe(DDIM(5))
    assert describe(Scaled(DPS(1.0), 2.0)) != describe(Scaled(DPS(3.0), 2.0))
    assert describe(h_transform) == describe(h_transform)
    assert describe(DPS.published(1.0, torch.linspace(1, 0.1, 4), 1.0, VPLinear())) != describe(
        DPS.published(2.0, torch.linspace(1, 0.1, 4), 1.0, VPLinear())
    )
    json.dumps(describe(h_transform))


def test_labels_become_folders():
    assert folder_name("DPS, 100 steps (tuned)") == "dps-100-steps-tuned"
    assert folder_name("σ") == "method"
    assert Method("No h", None, DDIM(2)).folder == "no-h"


def test_a_card_says_what_samples_depend_on():
    card = Method("a", DPS(1.0), DDIM(3), training_seconds=5.0, notes="slow", images=3).card()
    assert card == Method("a", DPS(1.0), DDIM(3)).card()
    assert card != Method("a", DPS(1.0), DDIM(4)).card()
    assert card["sampler"]["class_path"] == "deft.samplers.ddim.DDIM"
