"""What the file of an h-transform holds of its prior."""

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.learned import LearnedHTransform
from deft.priors.diffusers_unet import DiffusersPrior
from deft.priors.identity import same_identity
from deft.schedules import VPTabulated
from deft.training import checkpoint, prior_told
from tests.priors import diffusers_tiny as tiny

PROMPT = torch.linspace(-1, 1, 5 * 12).reshape(1, 5, 12)


def prior():
    network = tiny.conditioned(in_channels=1, out_channels=1, num_class_embeds=3)
    return DiffusersPrior(network, VPTabulated.linear(100, 1e-3, 0.15))


def told(more=0.0, label=1):
    return prior().given(encoder_hidden_states=PROMPT + more, class_labels=torch.tensor([label]))


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "h.safetensors"
    checkpoint.save(file, LearnedHTransform.for_prior(told(), fraction=0.5), told(), {})
    return file


def test_the_context_comes_back_with_the_weights(path):
    found = prior_told.context_in(path, checkpoint.KIND)
    assert found["class_labels"].tolist() == [1]
    torch.testing.assert_close(found["encoder_hidden_states"], PROMPT)
    again = prior_told.told(prior(), path, checkpoint.KIND)
    assert not again.lacks
    assert again.identity() == told().identity()
    h, _ = checkpoint.load(path, again)
    assert set(h.state_dict()) == set(
        LearnedHTransform.for_prior(told(), fraction=0.5).state_dict()
    )


def test_another_embedding_is_another_prior_and_another_class_is_not(path):
    (said,) = same_identity(told().identity(), told(more=1.0).identity())
    assert said.startswith("context")
    with pytest.raises(CheckpointError, match="context"):
        checkpoint.load(path, told(more=1.0))
    checkpoint.load(path, told(label=2))


def test_what_is_given_is_kept(path):
    mine = prior().given(class_labels=torch.tensor([2]))
    assert prior_told.told(mine, path, checkpoint.KIND).context.values["class_labels"] == 2


def test_contexts_of_each_signal_are_not_kept(tmp_path):
    several = prior().given(encoder_hidden_states=PROMPT, class_labels=torch.tensor([0, 1, 2]))
    file = tmp_path / "h.safetensors"
    checkpoint.save(file, LearnedHTransform.for_prior(several, fraction=0.5), several, {})
    assert prior_told.context_in(file, checkpoint.KIND) == {}


def test_a_context_that_the_prior_does_not_take(path):
    other = DiffusersPrior(tiny.plain(), VPTabulated.linear(100, 1e-3, 0.15))
    with pytest.raises(CheckpointError, match="does not take"):
        prior_told.told(other, path, checkpoint.KIND)


def test_options_of_a_card(path):
    card = {
        "prior_options": {
            "subfolder": "unet_ema",
            "details": {"image_size": 8, "value_range": [0, 1], "config": {"num_heads": 2}},
        }
    }
    found = prior_told.arguments(path, checkpoint.KIND, card)
    assert found["subfolder"] == "unet_ema"
    assert found["details"].value_range == (0, 1)
    assert found["details"].content == {"num_heads": 2}
    assert found["details"].card() == card["prior_options"]["details"]
    assert prior_told.arguments(path, checkpoint.KIND, {})["details"] is None
    bad = {"prior_options": {"details": {"num_heads": 2, "num_head_channels": 2}}}
    with pytest.raises(CheckpointError, match="num_heads"):
        prior_told.arguments(path, checkpoint.KIND, bad)


@pytest.mark.parametrize(
    "options",
    [
        3,
        {"labels": [1]},
        {"subfolder": 3},
        {"details": {"num_heads": 0}},
        {"details": {"heads": 2}},
        {"details": {"value_range": [0]}},
        {"details": {"value_range": [0, float("inf")]}},
        {"details": {"config": 3}},
        {"schedule": "x" * 51},
    ],
)
def test_what_a_card_may_not_hold(options):
    with pytest.raises(InvalidInput) as raised:
        prior_told.OPTIONS.check("prior_options", options)
    assert raised.value.what.startswith("prior_options")
