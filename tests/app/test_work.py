"""What the page says and shows: samples one by one, stops, files, and what is wrong."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

import deft
from deft.app import work
from deft.app.asked import Asked
from deft.app.ways import DRAWN, GIVEN, PAINTED
from deft.data import write_png
from deft.priors import zoo
from tests.app import shown


@pytest.fixture
def ring(tmp_path):
    return shown.digit(tmp_path / "ring.png")


def asked(path, **more):
    usual = {"painted": shown.painted(shown.hole()), "samples": 3, "steps": 2, "add_noise": True}
    return Asked(**{"h": shown.DIGITS, "file": path, "way": PAINTED, **usual, **more})


def never():
    return False


def test_samples_come_one_by_one(ring, tmp_path):
    told = []
    every = list(
        shown.desk(tmp_path).draw(asked(ring), never, lambda *numbers: told.append(numbers))
    )
    assert [said.kind for said in every] == ["busy"] * 4 + [every[-1].kind]
    counts = [len(said.pictures.samples) for said in every if said.pictures]
    assert counts == [1, 2, 3]
    assert "sample 3 of 3" in every[3].text
    assert every[-1].text.startswith("3 of 3 samples: misfit ")
    assert told == [(0, 1, 2), (1, 1, 2), (2, 1, 2)]


def test_they_are_those_of_the_pipeline_with_the_mask_that_was_painted(ring, tmp_path):
    *_, last = shown.desk(tmp_path).draw(asked(ring, add_noise=False), never)
    pipe = deft.load(shown.DIGITS)
    whole = pipe(Image.open(ring), mask=shown.hole(), num_samples=3, steps=2, seed=0)
    with np.load(last.files[2], allow_pickle=False) as found:
        np.testing.assert_array_equal(found["mask"], shown.hole())
        np.testing.assert_allclose(found["samples"], whole.samples[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(found["mean"], whole.mean[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(found["std"], whole.std[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(found["y"], whole.observation.y[0].numpy(), atol=1e-6)
        settings = json.loads(str(found["settings"]))
    assert settings["file"] == "ring.png"
    assert settings["h"] == shown.DIGITS
    assert settings["sigma_y"] == pytest.approx(0.05)
    assert [settings[name] for name in ("samples", "steps", "seed")] == [3, 2, 0]


def test_the_files_that_are_offered(ring, tmp_path):
    *_, last = shown.desk(tmp_path).draw(asked(ring), never)
    assert [path.name for path in last.files] == ["ring-mean.png", "ring-samples.png", "ring.npz"]
    assert all(tmp_path in path.parents for path in last.files)
    with Image.open(last.files[0]) as mean, np.load(last.files[2]) as arrays:
        assert mean.size == (32, 32)
        pixels = np.clip(np.round(127.5 * (arrays["mean"][0] + 1)), 0, 255)
        assert np.abs(np.asarray(mean)[..., 0] - pixels).max() <= 1
    with Image.open(last.files[1]) as sheet:
        assert sheet.width > 6 * 100  # measurement, three samples, mean, std
    pictures = last.pictures
    assert pictures.measurement.shape == pictures.mean.shape == (384, 384, 3)


def test_a_stop_keeps_what_is_done(ring, tmp_path):
    asks = []

    def stopped():
        asks.append(1)
        return len(asks) > 4  # before the first sample, its step, before the second, its step

    *_, last = shown.desk(tmp_path).draw(asked(ring), stopped)
    assert last.text.startswith("Stopped. 2 of 3 samples: ")
    with np.load(last.files[2]) as found:
        assert len(found["samples"]) == 2


def test_a_stop_before_the_first_sample(ring, tmp_path):
    *_, last = shown.desk(tmp_path).draw(asked(ring), lambda: True)
    assert last.text == "Stopped before the first sample was done."
    assert not last.files
    assert last.pictures is None


def test_files_of_earlier_pictures_go(ring, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_KEPT", 2)
    desk = shown.desk(tmp_path / "files")
    desk.folder.mkdir()
    for _ in range(3):
        *_, last = desk.draw(asked(ring, samples=1), never)
    assert len(list(desk.folder.iterdir())) == 2
    assert last.files[0].exists()


def test_a_look_before_anything_is_drawn(ring, tmp_path):
    desk = shown.desk(tmp_path)
    found = desk.look(asked(ring))
    assert found.paints
    assert found.shown.shape == (32, 32, 3)
    np.testing.assert_array_equal(found.shown[..., 0], np.asarray(Image.open(ring)))
    assert found.said.kind == "plain"
    assert desk.look(asked(None)).shown is None
    label = DRAWN + "SuperResolution(factor=4, kernel=average)"
    other = desk.look(asked(ring, h="h-digits-32-super-resolution", way=label))
    assert not other.paints


def test_a_look_at_a_measurement_is_its_lift(tmp_path):
    np.save(tmp_path / "y.npy", np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8))
    one = asked(tmp_path / "y.npy", h="h-digits-32-super-resolution", way=GIVEN, add_noise=False)
    found = shown.desk(tmp_path).look(one)
    assert found.shown.shape == (32, 32, 3)
    assert found.shown[0, 0, 0] < found.shown[-1, -1, 0]


def test_ways_and_what_is_said_of_an_h_transform(tmp_path):
    desk = shown.desk(tmp_path)
    found, said = desk.ways(shown.DIGITS)
    assert found[0].paints
    assert said.text == f"{shown.DIGITS}: pictures of 32 x 32 in grey, prior digits-32."
    none, said = desk.ways("h-digits-32-impainting")
    assert not none
    assert said.kind == "wrong"
    assert "did you mean h-digits-32-inpainting" in said.text


def test_two_stay_open(tmp_path):
    desk = shown.desk(tmp_path)
    first = desk.pipeline(shown.DIGITS)
    desk.pipeline("h-digits-32-box")
    assert desk.pipeline(shown.DIGITS) is first
    desk.pipeline("h-digits-32-hdr")
    assert list(desk._open) == [shown.DIGITS, "h-digits-32-hdr"]


def test_what_is_wrong_is_said_in_the_words_of_the_page(ring, tmp_path):
    desk = shown.desk(tmp_path)
    colour = shown.digit(tmp_path / "colour.png", colour=True)
    large = shown.digit(tmp_path / "large.png", (48, 64))
    for one, parts in (
        (asked(colour), ("colour.png has 3 channels", "takes 1", 'choose "grey" under Channels')),
        (asked(large), ("large.png is 48 x 64", "32 x 32", "choose under Size")),
        (asked(ring, painted=None), ("Mask: got nothing painted", "mouse")),
        (asked(ring, samples=100), ("Samples: got 100", "from 1 to 64")),
        (asked(ring, steps=0), ("Steps: got 0",)),
        (asked(ring, sigma_y=-1), ("Noise level: got -1",)),
        (asked(ring, h="owner/none"), ("owner/none does not exist here",)),
        (asked(ring, h=""), ("h-transform: got nothing",)),
        (asked(tmp_path / "gone.png"), ("gone.png",)),
    ):
        *_, last = desk.draw(one, never)
        assert last.kind == "wrong"
        assert not last.files
        for part in parts:
            assert part in last.text, last.text
        assert str(tmp_path) not in last.text
        assert not re.search(r"\w=", last.text)  # no words of Python
    assert desk.look(asked(colour)).said.kind == "wrong"


def test_a_fault_of_the_program_is_said_as_one(ring, tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise ZeroDivisionError("no\nway")

    monkeypatch.setattr(work, "measured", broken)
    *_, last = shown.desk(tmp_path).draw(asked(ring), never)
    assert "a fault of deft" in last.text
    assert "ZeroDivisionError: no)" in last.text
    assert "Traceback" in capsys.readouterr().err


def test_a_picture_with_less_noise_than_was_said(tmp_path):
    prior = zoo.load("digits-32")
    write_png(tmp_path / "drawn.png", deft.DPMSolver(10)(prior, 1, seed=3)[0, 0])
    one = asked(tmp_path / "drawn.png", add_noise=False, steps=20, samples=1)
    *_, last = shown.desk(tmp_path).draw(one, never)
    assert last.kind == "doubtful"
    assert any("less noise than the noise level says" in note for note in last.notes)


def test_the_prior_may_be_given(ring, tmp_path):
    prior = deft.load(shown.DIGITS).prior
    desk = dataclasses.replace(shown.desk(tmp_path), prior=prior)
    assert desk.pipeline(shown.DIGITS).prior is prior
