"""Saved, loaded elsewhere: the same samples; what is published says whose the prior is."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import deft
from deft.errors import CheckpointError, InvalidInput
from deft.priors import resolve
from deft.problems import Inpainting
from deft.storage import hub
from deft.training import checkpoint, places
from tests.storage.test_hub import Api
from tests.training import small

NAME = "h-digits-32-inpainting"
MASK = np.ones((32, 32), np.uint8)
MASK[10:18] = 0


@pytest.fixture(scope="module")
def shipped():
    return deft.load(NAME)


def y():
    return np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)


def drawn(pipe):
    return pipe(y(), mask=MASK, num_samples=2, steps=2, seed=7).samples


def pipeline(**card):
    """One whose prior others host."""
    problem = Inpainting(masks="box", sigma_y=0.05)
    return deft.DeftPipeline(
        small.h_transform(), small.prior(), problem, deft.DPMSolver(2), card=card
    )


def header(folder):
    text = (folder / "README.md").read_text()
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1]), text


def test_the_same_samples_elsewhere(shipped, tmp_path):
    """Saved, moved, and loaded in another process, with no network."""
    folder = shipped.save_pretrained(tmp_path / "a", license="apache-2.0", sheet=False)
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "h.safetensors"]
    moved = shutil.move(folder, tmp_path / "b")
    code = (
        "import numpy as np, torch, deft; torch.set_num_threads(1); m = np.ones((32, 32), "
        "np.uint8); m[10:18] = 0; y = np.random.default_rng(0).integers(0, 256, (32, 32))"
        f".astype(np.uint8); p = deft.DeftPipeline.from_pretrained({str(moved)!r}); "
        "a = p(y, mask=m, num_samples=2, steps=2, seed=7); np.save('x.npy', a.samples.numpy())"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=300,
        cwd=tmp_path,
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(Path(deft.__file__).parents[1]),
        },
    )
    expected = drawn(shipped)
    found = torch.from_numpy(np.load(tmp_path / "x.npy"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # another process
    assert torch.equal(drawn(deft.load(moved)), expected)
    assert checkpoint.read_card(Path(moved) / "h.safetensors")["published"] == {
        "license": "apache-2.0"
    }


def test_all_that_the_card_said_stays(shipped, tmp_path):
    again = deft.load(shipped.save_pretrained(tmp_path, sheet=False))
    for name in ("problem", "metrics", "training", "prior_from", "architecture", "prior"):
        assert again.card[name] == shipped.card[name]
    assert again.card.get("sampler") is None  # none was validated, and none is claimed
    other = replace(shipped, sampler=deft.DDIM(7)).save_pretrained(tmp_path, sheet=False)
    assert deft.load(other).sampler.steps == 7
    assert deft.load(other).card["sampler"] == {"made": deft.load(other).card["sampler"]["made"]}
    assert "not validated" in header(tmp_path)[1]


def test_a_sheet_of_samples(tmp_path):
    one = pipeline(prior_from="owner/name")
    folder = one.save_pretrained(tmp_path, examples=small.images(2))
    with Image.open(folder / "samples.png") as sheet:
        first = sheet.size
    assert "![samples](samples.png)" in header(folder)[1]
    one.save_pretrained(tmp_path)  # of samples of the prior
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.size == first
    one.save_pretrained(tmp_path, sheet=False)
    assert not (folder / "samples.png").exists()
    for wrong in (small.images(2)[0], "x", small.images(2) * torch.nan):
        with pytest.raises(InvalidInput) as raised:
            one.save_pretrained(tmp_path, examples=wrong)
        assert raised.value.what == "examples"


def test_the_header_is_like_that_of_an_adapter(tmp_path):
    said = {"license": "cc-by-4.0", "prior_license": "mit", "prior_revision": "abc123"}
    folder = pipeline().save_pretrained(tmp_path, prior_from="owner/name", sheet=False, **said)
    head, text = header(folder)
    assert head["base_model"] == "owner/name"
    assert head["base_model_relation"] == "adapter"
    assert head["license"] == "cc-by-4.0"
    assert {"deft", "inpainting"} <= set(head["tags"])
    for part in ("`abc123`", "`mit`", "allow_prior=True", "mask=mask", "sigma_y=0.05"):
        assert part in text
    assert checkpoint.read_card(folder / "h.safetensors")["published"] == said


@pytest.fixture
def network(monkeypatch, tmp_path):
    """A hub that hosts an h-transform at owner/h and its prior at owner/name, with what was
    asked of it.
    """
    hosted = tmp_path / "hosted"
    pipeline().save_pretrained(
        hosted, prior_from="owner/name", prior_revision="abc123", sheet=False
    )
    asked = []

    def download(repository, name, revision=None):
        asked.append((repository, name, revision))
        return str(hosted / name)

    def snapshot(repository, revision=None, allow_patterns=None):
        asked.append((repository, revision))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return hosted, asked


def test_a_prior_that_a_card_names_is_not_fetched_unasked(network, monkeypatch):
    hosted, asked = network
    for place in (hosted, "owner/h"):
        with pytest.raises(InvalidInput) as raised:
            deft.load(place)
        assert raised.value.given == "owner/name"
        assert "allow_prior=True" in raised.value.advice
    assert asked == [("owner/h", "h.safetensors", None)]
    assert deft.load("owner/h", prior=small.prior(), revision="v2").prior is small.prior()
    assert asked[1:] == [("owner/h", "h.safetensors", "v2")]


def test_a_prior_that_is_allowed_is_fetched_at_its_revision(network, monkeypatch):
    hosted, asked = network
    loaded = []
    monkeypatch.setattr(
        resolve, "load", lambda place, **_: loaded.append(str(place)) or small.prior()
    )
    one = deft.DeftPipeline.from_pretrained(hosted, allow_prior=True)
    assert one.prior is small.prior()
    assert set(asked) == {("owner/name", "abc123")}
    assert loaded == [str(hosted.parent)]
    path = hosted.parent / "other"
    pipeline().save_pretrained(path, prior_from="owner/name", sheet=False)
    deft.load(path, allow_prior=True)
    assert loaded[1:] == ["owner/name"]


def test_with_the_network_off(tmp_path):
    """HF_HUB_OFFLINE is set in tests."""
    folder = pipeline().save_pretrained(tmp_path, prior_from="nobody/none", sheet=False)
    for allowed in ({"allow_prior": True}, {"prior": "nobody/none"}):
        with pytest.raises(CheckpointError, match="could not be had from the Hugging Face hub"):
            deft.load(folder, **allowed)
    with pytest.raises(CheckpointError, match="of nobody/h could not be had"):
        deft.load("nobody/h")


def test_another_prior_than_the_cards_is_refused(network):
    with pytest.raises(CheckpointError, match="was trained for the prior"):
        deft.load("owner/h", prior="digits-32")


def test_push_to_hub(monkeypatch):
    fake = type("Fake", (Api,), {"seen": []})
    monkeypatch.setattr(huggingface_hub, "HfApi", fake)
    url = pipeline().push_to_hub("owner/h", prior_from="owner/name", private=True, token="t")
    assert url == "https://hub/owner/h/commit/1"
    files = ["README.md", "h.safetensors", "samples.png"]
    made = ("made", "owner/h", True, "t")
    assert fake.seen == [made, ("owner/h", files, "An h-transform", False)]


@pytest.mark.parametrize("place", [None, "/home/me/prior", "runs/my/prior"])
def test_a_prior_that_others_cannot_have_is_not_published(monkeypatch, place):
    monkeypatch.setattr(hub, "pushed", lambda *_, **__: pytest.fail("it was sent"))
    with pytest.raises(InvalidInput) as raised:
        pipeline(prior_from=place).push_to_hub("owner/h")
    assert raised.value.what == "prior_from"
    assert "hub id" in raised.value.expected


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "prior_from"),
        ({"prior_from": 3}, "prior_from"),
        ({"prior_from": "digits-32", "prior_revision": "main"}, "prior_revision"),
        ({"prior_from": "a/b", "prior_revision": "../x"}, "revision"),
        ({"prior_from": "a/b", "license": "Apache License"}, "license"),
        ({"prior_from": "a/b", "prior_license": 3}, "prior_license"),
    ],
)
def test_what_cannot_be_published(tmp_path, options, what):
    with pytest.raises(InvalidInput) as raised:
        pipeline().save_pretrained(tmp_path / "new", **options)
    assert raised.value.what == what
    assert not (tmp_path / "new").exists()


def test_places_and_parts_that_cannot_be_written(tmp_path, shipped):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="a folder, or nothing yet"):
        shipped.save_pretrained(tmp_path / "file")
    with pytest.raises(InvalidInput, match="before it is tiled"):
        shipped.tiled((1, 40, 40)).save_pretrained(tmp_path / "tiled", sheet=False)
    for name in ("h", "owner/h/x"):
        with pytest.raises(InvalidInput) as raised:
            shipped.push_to_hub(name)
        assert raised.value.what == "repo_id"


def test_a_prior_that_moved_takes_no_revision_along():
    from deft.pipeline.publishing import about

    card = {
        "prior_from": "a/b",
        "published": {"prior_revision": "1", "prior_license": "mit", "license": "mit"},
    }
    assert about(card)["published"] == card["published"]
    moved = about(card, prior_from="c/d")["published"]
    assert moved == {"prior_revision": None, "prior_license": None, "license": "mit"}


def test_the_folders_of_deft_weights(monkeypatch, tmp_path, shipped):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(shipped.save_pretrained(tmp_path / "h", sheet=False), second / "mine")
    shutil.copy(places.located("h-digits-32-box"), second / "h-box.safetensors")
    monkeypatch.setenv("DEFT_WEIGHTS", f"{first}{os.pathsep}{second}")
    assert deft.load("mine").prior.name == "digits-32"
    assert places.located("h-box") == second / "h-box.safetensors"
    for name in ("h-none", "../second/h-box", ""):
        assert places.of_the_user(name) is None
    with pytest.raises(CheckpointError):
        deft.load("h-none")
    monkeypatch.delenv("DEFT_WEIGHTS")
    with pytest.raises(CheckpointError):
        deft.load("h-box")


def test_a_revision_of_what_is_here():
    with pytest.raises(InvalidInput) as raised:
        deft.load(NAME, revision="main")
    assert raised.value.what == "revision"
