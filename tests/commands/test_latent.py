"""The commands take a pipeline of latents like any other prior."""

import numpy as np

from deft.training.checkpoint import read_card
from tests.commands.conftest import save_images
from tests.priors import latent_tiny

PROBLEM = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
FEW = ["--steps", "2", "--batch_size", "2", "--fraction", "0.5", "--validation_share", "0"]


def test_inspect_train_and_sample(deft, tmp_path):
    folder = latent_tiny.pipeline(tmp_path / "latent")
    code, said, _ = deft("inspect", folder)
    assert code == 0
    for words in ("4x8x8", "3x16x16", "AutoencoderKL", "2 pixels to a latent", "LatentPrior"):
        assert words in said
    images = save_images(tmp_path / "images", 8, colour=True)
    run, out = tmp_path / "run", tmp_path / "samples"
    given = ["--prior", folder, "--images", images, "--out", run]
    code, said, failed = deft("train", *given, *PROBLEM, *FEW)
    assert code == 0, failed
    error = read_card(run / "h.safetensors")["codec"]["error"]
    assert error > 0.05  # an autoencoder with random weights
    assert f"leaves {error:.3g} of y out" in said
    few = ["--samples", "2", "--steps", "2", "--limit", "1"]
    code, _, failed = deft(
        "sample", "--h", run / "h.safetensors", "--images", images, "--out", out, *few
    )
    assert code == 0, failed
    assert "trained for" not in failed  # of a noise level that h was not told
    (file,) = out.glob("*.npz")
    assert np.load(file)["samples"].shape == (2, 3, 16, 16)


def test_evaluate_measures_the_images(deft, tmp_path):
    """A method that differentiates the prior and the decoder."""
    folder = latent_tiny.pipeline(tmp_path / "latent")
    images = save_images(tmp_path / "images", 2, colour=True)
    methods = tmp_path / "evaluate.yaml"
    methods.write_text(
        "methods:\n  DPS:\n    class_path: deft.commands.methods.DPS\n    init_args: {steps: 2}\n"
    )
    given = ["--prior", folder, "--images", images, "--out", tmp_path / "e", "--samples", "2"]
    code, _, failed = deft("evaluate", "--config", methods, *given, *PROBLEM)
    assert code == 0, failed
    assert list((tmp_path / "e").glob("**/report.html"))
