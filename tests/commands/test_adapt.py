"""`deft adapt`: from an h-transform to one of another problem, in steps or in minutes."""

import json
from pathlib import Path

import torch

import deft as package
from deft.problems import SuperResolution
from deft.training import checkpoint
from tests.bad_input import protein_world

PROBLEM = ["--problem", "SuperResolution", "--problem.factor", "2", "--problem.sigma_y", "0.1"]
SHORT = ["--batch_size", "2", "--validation_share", "0"]


def adapted(deft, run_folder: Path, image_folder: str, out: Path, *more: str):
    return deft(
        "adapt", "--h", run_folder, *PROBLEM, "--images", image_folder, "--out", out, *SHORT, *more
    )


def test_it_goes_on_from_the_weights_with_another_problem(
    deft, run_folder: Path, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    code, _, said = adapted(deft, run_folder, image_folder, tmp_path / "out", "--steps", "2")
    assert code == 0, said
    card = checkpoint.read_card(tmp_path / "out/h.safetensors")
    assert card["problem"] == SuperResolution(2, sigma_y=0.1).card()
    assert card["training"]["began_from"].endswith("h.safetensors")
    before, after = (package.load(p).h.state_dict() for p in (run_folder, tmp_path / "out"))
    assert before.keys() == after.keys()
    moved = [float((before[k] - after[k]).abs().max()) for k in before]
    assert 0 < max(moved) < 0.1


def test_minutes_are_measured_once_and_kept(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed, said = adapted(deft, run_folder, image_folder, out, "--minutes", "1e-6")
    assert code == 0, said
    assert "1e-06 minutes are about 10 steps here" in printed
    assert json.loads((out / "adapt.json").read_text()) == {"minutes": 1e-06, "steps": 10}
    (out / "adapt.json").write_text('{"minutes": 1e-06, "steps": 12}')
    code, printed, said = adapted(deft, run_folder, image_folder, out, "--minutes", "1e-6")
    assert code == 0, said
    assert "about" not in printed
    assert checkpoint.read_card(out / "h.safetensors")["training"]["steps"] == 12


def test_training_for_any_linear_operator(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    """From the command line to a call with an operator that it has never seen."""
    config = tmp_path / "any.yaml"
    config.write_text(
        "problem:\n"
        "  class_path: AnyOf\n"
        "  init_args:\n"
        "    problems:\n"
        "    - class_path: Denoising\n"
        "    - class_path: SuperResolution\n"
        "      init_args: {factor: 2}\n"
        "    sigma_y: [0.01, 0.5]\n"
    )
    code, _, said = deft(
        "train", "--config", config, "--prior", prior_file, "--operators", "any", "--images",
        image_folder, "--out", tmp_path / "any", "--steps", "2", *SHORT,
    )  # fmt: skip
    assert code == 0, said
    loaded = package.load(tmp_path / "any")
    operator = package.operators.Matrix(torch.randn(20, 256) / 16, (1, 16, 16))
    x = loaded(torch.randn(2, 20), operator=operator, sigma_y=0.1, num_samples=3).samples
    assert x.shape == (2, 3, 1, 16, 16)
    assert x.isfinite().all()


def test_sampling_for_a_problem_that_it_was_not_trained_on(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    """Any linear problem; one that is not linear is refused in a line."""
    out = tmp_path / "any"
    problem = ["--problem", "AnyOf", "--problem.problems", '[{"class_path": "Denoising"}]']
    code, _, said = deft(
        "train", "--prior", prior_file, *problem, "--problem.sigma_y", "0.1", "--operators", "any",
        "--images", image_folder, "--out", out, "--steps", "2", *SHORT,
    )  # fmt: skip
    assert code == 0, said
    draw = ["sample", "--h", out, "--images", image_folder, "--samples", "1", "--steps", "2"]
    code, printed, said = deft(*draw, "--limit", "1", "--out", tmp_path / "samples", *PROBLEM)
    assert code == 0, said
    assert "misfit" in printed
    code, _, said = deft(*draw, "--out", tmp_path / "hdr", "--problem", "HighDynamicRange")
    assert code == 2
    assert "linear" in said
    assert "deft train" in said


def test_minutes_of_chains(deft, tmp_path: Path) -> None:
    """An h-transform of protein backbones goes on on chains, in steps that are measured too."""
    world, out = protein_world.build(tmp_path / "world"), tmp_path / "out"
    code, printed, said = deft(
        "adapt",
        *("--h", world / "h.safetensors", "--problem", "MotifScaffolding"),
        *("--images", world / "chains.npz", "--out", out, "--minutes", "1e-6", *SHORT),
    )
    assert code == 0, said
    assert "1e-06 minutes are about 10 steps here" in printed
    assert checkpoint.read_card(out / "h.safetensors")["training"]["steps"] == 10
