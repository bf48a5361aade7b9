"""What is typed and what the file of an h-transform remembers, together."""

import pytest
import torch
from safetensors.torch import save_file

from deft.commands import remembered
from deft.commands.remembered import Said
from deft.errors import InvalidInput
from deft.priors.details import Details
from deft.storage.tensors import read, write
from deft.training.checkpoint import KIND

DETAILS = {"num_heads": 2, "attention_order": "new"}
CARD = {"schedule": "linear", "details": DETAILS}


@pytest.fixture
def h(tmp_path, run_folder):
    """A file that remembers details, a schedule and a prompt."""
    held, head = read(run_folder / "h.safetensors", KIND)
    told = {"prior_context.prompt": torch.ones(1, 3)}
    path = tmp_path / "h.safetensors"
    write(path, {**held, **told}, {**head.card, "prior_options": CARD}, KIND)
    return path


def test_what_is_not_typed_is_remembered(h):
    said = remembered.said(Said(), h)
    assert (said.schedule, said.subfolder) == ("linear", None)
    assert said.details == Details(num_heads=2, attention_order="new")
    assert said.context["prompt"].shape == (1, 3)
    assert said.card() == CARD


def test_what_is_typed_is_added(h):
    typed = Said(prediction_type="sample", details=Details(image_size=8, num_heads=2))
    said = remembered.said(typed, h)
    assert said.details == Details(num_heads=2, attention_order="new", image_size=8)
    assert said.prediction_type == "sample"
    assert remembered.options_of(typed, h)["details"] == {**DETAILS, "image_size": 8}


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        (Said(schedule="cosine"), "schedule"),
        (Said(details=Details(num_heads=4)), "details.num_heads"),
        (Said(details=Details(attention_order="legacy")), "details.attention_order"),
        (Said(context={"prompt": torch.zeros(1, 3)}), "context"),
        (Said(context={"prompt": torch.ones(1, 4)}), "context"),
    ],
)
def test_another_one_is_refused_by_name(h, typed, what):
    with pytest.raises(InvalidInput) as raised:
        remembered.said(typed, h)
    assert raised.value.what == what
    assert str(h) in raised.value.expected
    assert f"`{what}`" in raised.value.advice


def test_the_same_context_may_be_typed(h):
    typed = Said(context={"prompt": torch.ones(3), "more": torch.zeros(1)})
    assert set(remembered.said(typed, h).context) == {"prompt", "more"}


def test_nothing_is_written_where_nothing_was_said(run_folder):
    assert Said().card() is None
    assert remembered.options_of(Said(), None) is None
    assert remembered.said(Said(), run_folder / "h.safetensors") == Said()


def test_a_file_of_tensors(tmp_path):
    save_file({"prompt": torch.ones(2)}, tmp_path / "a.safetensors")
    assert remembered.read(tmp_path / "a.safetensors")["prompt"].tolist() == [1, 1]
    save_file({}, tmp_path / "none.safetensors")
    with pytest.raises(InvalidInput, match="without tensors"):
        remembered.read(tmp_path / "none.safetensors")
