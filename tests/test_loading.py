"""`deft.load`: an h-transform with its prior and its problem."""

import dataclasses
import shutil

import pytest
import torch

import deft
from deft.errors import CheckpointError, InvalidInput
from deft.priors import zoo
from deft.problems import Inpainting
from deft.training import checkpoint, places
from tests.training import small

PROBLEM = Inpainting(masks="box", sigma_y=0.05)
NAME = "h-digits-32-box"


def saved(path, **card):
    checkpoint.save(path, small.h_transform(), small.prior(), {"problem": PROBLEM.card(), **card})
    return path


def test_one_that_ships():
    loaded = deft.load(NAME)
    assert isinstance(loaded, deft.Loaded)
    assert loaded.prior.name == "digits-32"
    assert isinstance(loaded.problem, Inpainting)
    assert not loaded.h.training
    x_0 = torch.zeros(1, *loaded.prior.event_shape)
    posterior = deft.Posterior(loaded.prior, loaded.h, loaded.problem.draw(x_0, deft.Noise([0])))
    assert deft.DPMSolver(2)(posterior, num_samples=1, seed=0).shape == (
        1,
        1,
        *loaded.prior.event_shape,
    )


def test_the_same_for_large_pictures():
    loaded = deft.load("h-digits-32-inpainting")
    large = loaded.tiled((1, 40, 57), overlap=4, batch=3, layout="fixed")
    assert large.prior.tiles.layout == large.h.tiles.layout == "fixed"
    assert (large.problem, large.sampler) == (loaded.problem, loaded.sampler)
    observation = large.problem.draw(torch.zeros(1, 1, 40, 57), deft.Noise([0]))
    posterior = deft.Posterior(large.prior, large.h, observation)
    assert deft.DPMSolver(2)(posterior, 1, seed=0).shape == (1, 1, 1, 40, 57)
    with pytest.raises(InvalidInput, match="at least 32 x 32"):
        loaded.tiled((1, 40, 20))


def test_it_is_frozen():
    loaded = deft.load(NAME)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.h = None


def test_a_file_and_a_run_folder_are_the_same(tmp_path):
    path = saved(tmp_path / "h.safetensors")
    a, b = (deft.load(place, prior=small.prior()) for place in (str(path), tmp_path))
    assert not small.differing(a.h.state_dict(), b.h.state_dict())
    assert a.problem.card() == PROBLEM.card()


@pytest.mark.parametrize("prior", ["digits-32", zoo.FOLDER / "digits-32.safetensors"])
def test_the_prior_may_be_named(prior):
    assert deft.load(NAME, prior=prior).prior.name == "digits-32"


def test_the_prior_may_be_given():
    prior = zoo.load("digits-32")
    assert deft.load(NAME, prior=prior).prior is prior


def test_another_prior_is_refused():
    with pytest.raises(CheckpointError, match="digits-32"):
        deft.load(NAME, prior=small.prior())


def test_a_card_without_its_prior(tmp_path):
    with pytest.raises(CheckpointError) as raised:
        deft.load(saved(tmp_path / "h.safetensors"))
    assert "prior_from" in str(raised.value.expected)
    assert "prior=" in raised.value.advice


def test_a_card_without_its_problem(tmp_path):
    path = tmp_path / "h.safetensors"
    checkpoint.save(path, small.h_transform(), small.prior(), {})
    with pytest.raises(CheckpointError) as raised:
        deft.load(path, prior=small.prior())
    assert raised.value.given == "nothing"


def test_nothing_that_a_file_names_is_downloaded(tmp_path):
    with pytest.raises(InvalidInput) as raised:
        deft.load(saved(tmp_path / "h.safetensors", prior_from="owner/name"))
    assert raised.value.given == "owner/name"


def test_a_copy_of_a_shipped_file_loads_by_its_path(tmp_path):
    shutil.copy(places.located(NAME), tmp_path / "mine.safetensors")
    assert deft.load(tmp_path / "mine.safetensors").prior.name == "digits-32"


@pytest.mark.parametrize(
    ("place", "error"),
    [("h-digits-32-bax", CheckpointError), (3, InvalidInput), (None, InvalidInput)],
)
def test_a_place_that_is_none(place, error):
    with pytest.raises(error):
        deft.load(place)


def test_what_no_prior_is():
    with pytest.raises(InvalidInput) as raised:
        deft.load(NAME, prior=3)
    assert raised.value.given == "int"


def test_a_call_draws_samples():
    """The same as by a posterior; the operator is the problem's where it draws none."""
    loaded = deft.load("h-digits-32-super-resolution")
    y = loaded.problem.draw(torch.zeros(2, 1, 32, 32), deft.Noise([0, 1])).y
    loaded = dataclasses.replace(loaded, sampler=deft.DPMSolver(2))
    operator = deft.operators.SuperResolution(4, (1, 32, 32))
    x = loaded(y, num_samples=3, seed=5)
    assert x.shape == (2, 3, 1, 32, 32)
    assert torch.equal(x, loaded(y, operator=operator, sigma_y=0.05, num_samples=3, seed=5))


def test_a_call_needs_the_operator_that_measured():
    loaded = deft.load("h-digits-32-inpainting")
    with pytest.raises(InvalidInput, match="draws one for each signal"):
        loaded(torch.zeros(1, 1, 32, 32))


def test_a_picture_of_any_size_with_its_mask():
    mask = torch.ones(40, 57)
    mask[10:20] = 0
    y = torch.zeros(40, 57, dtype=torch.uint8)
    large = deft.load("h-digits-32-inpainting").tiled((1, 40, 57), overlap=8)
    answers = large(y, mask=mask, num_samples=1, steps=2)
    assert answers.samples.shape == (1, 1, 1, 40, 57)
    assert answers.verdicts[0].alarm is None
    assert large.intervals is None


def test_from_pretrained_is_load():
    pipe = deft.DeftPipeline.from_pretrained(NAME)
    assert type(pipe) is deft.Loaded
    assert repr(pipe).startswith("DeftPipeline(LearnedHTransform on digits-32, Inpainting(")
