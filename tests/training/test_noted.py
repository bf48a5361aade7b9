"""A card that says more, around the same tensors."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.learned import LearnedHTransform
from deft.problems import Denoising
from deft.storage import tensors
from deft.training import checkpoint
from deft.training.noted import noted
from tests.commands.conftest import tiny_prior


@pytest.fixture
def path(tmp_path):
    prior = tiny_prior()
    h = LearnedHTransform.for_prior(prior, fraction=0.1)
    card = {"problem": Denoising(0.1).card(), "note": "kept"}
    checkpoint.save(tmp_path / "h.safetensors", h, prior, card)
    return tmp_path / "h.safetensors"


def test_tensors_and_the_rest_of_the_card_stay(path, tmp_path):
    noted(path, tmp_path / "new" / "h.safetensors", {"units": {"value_range": [-1.0, 1.0]}})
    before, old = tensors.read(path, checkpoint.KIND)
    after, new = tensors.read(tmp_path / "new" / "h.safetensors", checkpoint.KIND)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert dict(new.card) == {**old.card, "units": {"value_range": [-1.0, 1.0]}}
    h, card = checkpoint.load(tmp_path / "new" / "h.safetensors", tiny_prior())
    assert card["note"] == "kept"
    assert h.trained_sigma_y == (0.1, 0.1)


def test_what_a_card_may_not_hold_is_refused(path, tmp_path):
    with pytest.raises(InvalidInput) as said:
        noted(path, tmp_path / "new.safetensors", {"alarm": {"images": -1}})
    assert "alarm" in said.value.what
    assert not (tmp_path / "new.safetensors").exists()
