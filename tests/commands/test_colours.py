"""Grey pictures and JPEG files as measurements of pictures in colour, by the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.operators import JPEG, Colourisation
from deft.priors import zoo
from tests.commands.conftest import save_images, tiny_prior

FEW = ["--samples", "1", "--method", "DPS", "--method.steps", "2"]


@pytest.fixture(scope="module")
def colour_prior(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("colour") / "tiny.safetensors"
    zoo.save(path, tiny_prior(shape=(3, 16, 16)), {"data": "ramps"})
    return str(path)


def test_a_grey_picture_is_coloured(deft, colour_prior: str, tmp_path: Path) -> None:
    save_images(tmp_path / "grey", 1)
    given = ["sample", "--prior", colour_prior, "--measurements", tmp_path / "grey", *FEW]
    code, _, wrong = deft(*given, "--problem", "Colourisation", "--out", tmp_path / "s")
    assert code == 0, wrong
    with np.load(tmp_path / "s" / "00.npz") as z:
        assert z["samples"].shape == (1, 3, 16, 16)
        grey = np.asarray(Image.open(tmp_path / "grey" / "00.png")) / 127.5 - 1
        assert np.allclose(z["y"][0], grey, atol=1e-5)
    colour = save_images(tmp_path / "colour", 1, colour=True)
    given[4] = colour
    code, _, wrong = deft(*given, "--problem", "Colourisation", "--out", tmp_path / "t")
    assert code == 2
    assert "mode RGB, and the measurements have 1 channel" in wrong


def test_a_jpeg_file_is_what_the_operator_makes(deft, colour_prior: str, tmp_path: Path) -> None:
    """The file as it is decoded is y, and the operator of its quality gives y of its pixels."""
    (tmp_path / "files").mkdir()
    generator = np.random.default_rng(0)
    coarse = generator.integers(60, 200, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "files" / "a.jpg", quality=30)
    given = ["sample", "--prior", colour_prior, "--measurements", tmp_path / "files", *FEW]
    jpeg = ["--problem", "JPEG", "--problem.quality", "30"]
    code, _, wrong = deft(*given, *jpeg, "--out", tmp_path / "s")
    assert code == 0, wrong
    x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with np.load(tmp_path / "s" / "a.npz") as z:
        assert np.abs(z["y"] - JPEG(30)(x)[0].numpy()).mean() < 1 / 127.5
        assert np.abs(z["y"] - x[0].numpy()).mean() > 2 / 127.5


def test_both_are_listed(deft) -> None:
    _, said, _ = deft("list", "--kind", "problems")
    assert "deft.problems.Colourisation" in said
    assert "deft.problems.JPEG" in said
    assert Colourisation().weights == (0.299, 0.587, 0.114)
