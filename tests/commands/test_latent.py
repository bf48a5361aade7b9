"""The commands take a pipeline of latents like any other prior."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deft.training.checkpoint import read_card
from tests.commands.conftest import save_images
from tests.priors import diffusers_tiny, latent_tiny

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


PAGE = Path(__file__).parents[2] / "docs" / "latent.md"
SHORT = {
    "--out run": "--steps 2 --batch_size 2 --validation_share 0 --out run",
    "--out samples": "--samples 1 --limit 1 --steps 2 --out samples",
    "FOLDER": "pictures",
    "--fraction 0.04": "--fraction 0.3",
}


def stable_diffusion(folder: Path) -> None:
    scheduler = diffusers_tiny.betas(beta_schedule="scaled_linear", steps_offset=1)
    diffusers_tiny.saved(folder, diffusers_tiny.conditioned(), scheduler)
    save_file({"encoder_hidden_states": torch.zeros(1, 7, 12)}, "empty.safetensors")


def stable_diffusion_3(folder: Path) -> None:
    import diffusers

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    diffusers_tiny.saved(folder, diffusers_tiny.sd3(), scheduler)
    told = {"encoder_hidden_states": (1, 5, 24), "pooled_projections": (1, 20)}
    zeros = {name: torch.zeros(shape) for name, shape in told.items()}
    save_file(zeros, "empty-3.safetensors")


def dit(folder: Path) -> None:
    diffusers_tiny.saved(folder, diffusers_tiny.dit(), diffusers_tiny.betas())


@pytest.mark.parametrize(
    ("name", "make", "runs"),
    [
        ("stable-diffusion-v1-5", stable_diffusion, "sd"),
        pytest.param(
            "stable-diffusion-3-medium", stable_diffusion_3, "sd3", marks=pytest.mark.slow
        ),
        pytest.param("DiT-XL-2-256", dit, "dit", marks=pytest.mark.slow),
    ],
)
def test_the_commands_of_the_page_run(deft, tmp_path, monkeypatch, name, make, runs):
    """On a folder of that form, with tiny random networks."""
    monkeypatch.chdir(tmp_path)
    make(Path(name))
    diffusers_tiny.with_autoencoder(Path(name))
    save_images(tmp_path / "pictures", 3, (16, 20), colour=True)
    lines = re.findall(r"^    deft (.*)$", PAGE.read_text(), re.M)
    own = [line for line in lines if re.search(rf"\b{name}\b|run-{runs}/", line)]
    assert {line.split()[0] for line in own} >= {"train", "sample"}
    for line in own:
        for theirs, ours in SHORT.items():
            line = line.replace(theirs, ours)
        code, _, failed = deft(*shlex.split(line))
        assert code == 0, f"{line}\n{failed}"
    (file,) = Path(f"samples-{runs}").glob("*.npz")
    assert np.load(file)["samples"].shape == (1, 3, 16, 16)
