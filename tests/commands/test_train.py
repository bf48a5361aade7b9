"""`deft train`: what it writes, that it goes on, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from deft.commands import methods
from deft.commands.untrained import untrained
from deft.htransforms.calibrated import Calibrated
from deft.htransforms.learned import LearnedHTransform
from deft.priors import zoo
from deft.problems import Inpainting
from deft.training import checkpoint
from tests.commands.conftest import save_images, tiny_prior

INPAINTING = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
SHORT = ["--steps", "1", "--batch-size", "2", "--validation-share", "0"]


def test_it_writes_a_checkpoint_with_its_card(run_folder: Path, prior_file: str) -> None:
    prior = zoo.load(prior_file)
    _, card = checkpoint.load(run_folder / "h.safetensors", prior)
    assert card["prior_from"] == prior_file
    assert card["training"]["steps"] == 2
    assert {"h.safetensors", "config.yaml", "metrics.jsonl"} <= {
        p.name for p in run_folder.iterdir()
    }


def test_the_same_command_goes_on(
    deft, run_folder: Path, prior_file: str, image_folder: str
) -> None:
    before = (run_folder / "h.safetensors").read_bytes()
    same = ["--steps", "2", "--batch-size", "2", "--validation-share", "0"]
    code, _, said = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        run_folder,
        *same,
    )
    assert code == 0, said
    assert len((run_folder / "h.safetensors").read_bytes()) == len(before)


def test_other_settings_in_the_same_folder_are_refused(
    deft, run_folder: Path, prior_file: str, image_folder: str
) -> None:
    kept = (run_folder / "config.yaml").read_text()
    code, _, said = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        run_folder,
        *SHORT,
    )
    assert code == 2
    assert "other settings" in said
    assert (run_folder / "config.yaml").read_text() == kept


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--validation_share", "0.999", "[0, 0.5]"),
        ("--validation_share", "-0.1", "[0, 0.5]"),
        ("--validation_share", ".nan", "a finite number"),
        ("--fraction", "0", "above 0"),
        ("--fraction", "-1", "above 0"),
        ("--fraction", "1000", "at most 10"),
        ("--bank", "-5", ">= 0"),
        ("--slopes", "-1", ">= 0"),
        ("--steps", "100000000", "10,000,000"),
        ("--steps", "0", "from 1 to"),
        ("--validate_every", "0", ">= 1"),
        ("--validation_draws", "0", ">= 1"),
        ("--validation_draws", "-2", ">= 1"),
        ("--learning_rate", ".inf", "finite"),
    ],
)
def test_numbers_that_cannot_be_meant(
    deft, prior_file: str, image_folder: str, tmp_path: Path, option: str, value: str, expected: str
) -> None:
    given = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        "--batch_size",
        "2",
    ]
    code, _, said = deft(*given, *([] if option == "--steps" else ["--steps", "1"]), option, value)
    assert code == 2, said
    assert option.removeprefix("--") in said
    assert expected in said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_validation_as_it_is_asked_for(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    given = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        "--batch_size",
        "2",
    ]
    code, _, wrong = deft(
        *given,
        "--steps",
        "4",
        "--validate_every",
        "2",
        "--validation_draws",
        "3",
        "--validation_images",
        image_folder,
    )
    assert code == 0, wrong
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    checks = [
        (line["step"], sum(b["count"] for b in line["validation"]["bins"]))
        for line in lines
        if "validation" in line
    ]
    assert checks == [(2, 3), (4, 3)]


def test_more_steps_and_a_start_whose_time_counts(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    given = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--batch-size",
        "2",
        "--validation-share",
        "0",
    ]
    assert deft(*given, "--out", tmp_path / "a", "--steps", "1")[0] == 0
    code, _, said = deft(*given, "--out", tmp_path / "a", "--steps", "3")
    assert code == 0, said
    assert "goes on from step 1 of 1 to 3" in said
    first = checkpoint.read_card(tmp_path / "a" / "h.safetensors")["training"]
    assert (first["steps"], first["restarted_at"]) == (3, 1)
    assert (
        deft(*given, "--out", tmp_path / "b", "--steps", "1", "--initial", tmp_path / "a")[0] == 0
    )
    second = checkpoint.read_card(tmp_path / "b" / "h.safetensors")["training"]
    assert second["seconds_before"] == pytest.approx(first["seconds"])
    assert second["seconds_in_all"] == pytest.approx(first["seconds"] + second["seconds"], abs=2e-3)
    method = methods.DEFT(tmp_path / "b").build(
        "DEFT", zoo.load(prior_file), Inpainting(masks="box", sigma_y=0.05)
    )
    assert method.training_seconds == pytest.approx(second["seconds_in_all"], abs=2e-3)


def test_slopes_are_taken_out_and_another_run_starts_without_them(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    given = ["train", "--prior", prior_file, *INPAINTING, "--images", image_folder, *SHORT]
    code, _, said = deft(*given, "--out", tmp_path / "run", "--slopes", "3")
    assert code == 0, said
    h, card = checkpoint.load(tmp_path / "run" / "h.safetensors", zoo.load(prior_file))
    assert isinstance(h, Calibrated)
    assert isinstance(h.h_transform, LearnedHTransform)
    assert bool(h.slopes.any())
    assert card["training"]["slopes_from_images"] == 3
    code, _, said = deft(*given, "--out", tmp_path / "next", "--initial", tmp_path / "run")
    assert code == 0, said
    assert (
        type(checkpoint.load(tmp_path / "next" / "h.safetensors", zoo.load(prior_file))[0])
        is LearnedHTransform
    )


def test_slopes_from_one_image_are_refused_before_training(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    code, _, said = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        *SHORT,
        "--out",
        tmp_path / "run",
        "--slopes",
        "1",
    )
    assert code == 2
    assert "two training images or more" in said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_validation_images_and_a_bank(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    more = [
        "--validation_images",
        image_folder,
        "--bank",
        "8",
        "--times.mean",
        "0",
        "--fraction",
        "0.5",
    ]
    code, said, wrong = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        *SHORT,
        *more,
    )
    assert code == 0, wrong
    assert "ratio" in said


@pytest.mark.slow
def test_two_processes_share_the_bank_and_one_writes(
    prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    """Under torchrun, on gloo: one bank, one h.safetensors, said once."""
    given = [
        "--prior",
        prior_file,
        "--problem",
        "Inpainting",
        "--problem.masks",
        "box",
        "--images",
        image_folder,
        "--out",
        str(tmp_path / "run"),
    ]
    short = ["--steps", "2", "--batch_size", "2", "--validation_share", "0", "--bank", "16"]
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "deft.cli",
    ]
    done = subprocess.run(
        [*torchrun, "train", *given, *short],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("saved ") == 1
    assert checkpoint.read_card(tmp_path / "run" / "h.safetensors")["training"]["bank"] == 16


@pytest.mark.parametrize("initial", ["", "h.safetensors", "state.safetensors"])
def test_it_starts_from_another_h_transform(
    deft, run_folder: Path, prior_file: str, image_folder: str, tmp_path: Path, initial: str
) -> None:
    more = ["--initial", run_folder / initial]
    code, _, wrong = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        *SHORT,
        *more,
    )
    assert code == 0, wrong


@pytest.mark.parametrize(
    "form", ["PaperHTransform", "deft.htransforms.conditional_score.ConditionalScore"]
)
def test_other_forms_are_trained_sampled_and_evaluated(
    deft, prior_file: str, image_folder: str, tmp_path: Path, form: str
) -> None:
    given, run = ["--prior", prior_file, *INPAINTING, "--images", image_folder], tmp_path / "run"
    code, said, wrong = deft("train", *given, "--out", run, *SHORT, "--h_transform", form)
    assert code == 0, wrong
    name = form.rpartition(".")[2]
    assert f"{name}: " in said
    learned, _ = checkpoint.load(run / "h.safetensors", zoo.load(prior_file))
    assert type(learned).__name__ == name
    assert f"h_transform: {form}" in (run / "config.yaml").read_text()
    few = ["--images", image_folder, "--limit", "1", "--samples", "2"]
    code, _, wrong = deft("sample", "--h", run, *few, "--steps", "2", "--out", tmp_path / "s")
    assert code == 0, wrong
    with np.load(tmp_path / "s" / "00.npz") as z:
        assert np.isfinite(z["samples"]).all()
    method = {
        "class_path": "deft.commands.methods.DEFT",
        "init_args": {
            "checkpoint": str(run),
            "sampler": {"class_path": "DDIM", "init_args": {"steps": 2}},
        },
    }
    (tmp_path / "methods.yaml").write_text(yaml.safe_dump({"methods": {name: method}}))
    code, _, wrong = deft(
        "evaluate",
        "--config",
        tmp_path / "methods.yaml",
        "--prior",
        prior_file,
        *INPAINTING,
        *few,
        "--out",
        tmp_path / "e",
    )
    assert code == 0, wrong
    assert name in (tmp_path / "e" / "report.html").read_text()


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("deft.DPS", "got DPS; expected an h-transform that is learned: LearnedHTransform"),
        ("deft.GaussianPotential", "got GaussianPotential; expected an h-transform that is"),
        ("deft.PaperHTransfrom", "did you mean PaperHTransform"),
        ("ConditionalScor", "did you mean ConditionalScore"),
        ("deft.DDIM", "those derive from deft.htransforms.base.HTransform"),
    ],
)
def test_what_is_not_learned_is_refused(
    deft, prior_file: str, image_folder: str, tmp_path: Path, form: str, expected: str
) -> None:
    given = [
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
    ]
    code, _, said = deft("train", *given, *SHORT, "--h_transform", form)
    assert code == 2
    assert expected in said


def test_a_start_of_another_form_is_refused(
    deft, run_folder: Path, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    more = ["--initial", run_folder / "h.safetensors", "--h_transform", "deft.ConditionalScore"]
    code, _, said = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        *SHORT,
        *more,
    )
    assert code == 2
    assert "holds a LearnedHTransform and --h_transform asks for ConditionalScore" in said


def test_a_wrong_channel_count_is_named(deft, prior_file: str, tmp_path: Path) -> None:
    colour = save_images(tmp_path / "colour", 4, colour=True)
    arguments = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        colour,
        "--out",
        tmp_path / "run",
        *SHORT,
    ]
    code, _, said = deft(*arguments)
    assert code == 2
    assert "3 channels" in said
    assert "grey" in said
    assert deft(*arguments, "--convert", "grey")[0] == 0


def test_a_wrong_size_is_named(deft, prior_file: str, tmp_path: Path) -> None:
    large = save_images(tmp_path / "large", 4, size=(20, 24))
    arguments = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        large,
        "--out",
        tmp_path / "run",
        *SHORT,
    ]
    code, _, said = deft(*arguments)
    assert code == 2
    assert "20 x 24" in said
    assert deft(*arguments, "--fit", "crop")[0] == 0


@pytest.mark.parametrize(
    ("scale", "offset", "expected"), [(255.0, 0.0, "255"), (1.0, 0.0, "no value is negative")]
)
def test_a_wrong_value_range_is_named(
    deft, prior_file: str, tmp_path: Path, scale: float, offset: float, expected: str
) -> None:
    values = scale * np.random.default_rng(0).random((6, 1, 16, 16)).astype(np.float32) + offset
    np.save(tmp_path / "x.npy", values)
    arguments = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        tmp_path / "x.npy",
        "--out",
        tmp_path / "run",
        *SHORT,
    ]
    code, _, said = deft(*arguments)
    assert code == 2
    assert expected in said
    assert deft(*arguments, "--value_range", f"[0,{scale:g}]")[0] == 0


def test_an_empty_folder(deft, prior_file: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, said = deft(
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        tmp_path / "empty",
        "--out",
        tmp_path / "run",
        *SHORT,
    )
    assert code == 2
    assert "holds no images" in said


def test_a_truncated_image_is_skipped_with_a_count_or_fatal(
    deft, prior_file: str, tmp_path: Path
) -> None:
    folder = save_images(tmp_path / "some", 4)
    (folder / "02.png").write_bytes((folder / "02.png").read_bytes()[:60])
    arguments = [
        "train",
        "--prior",
        prior_file,
        *INPAINTING,
        "--images",
        folder,
        "--out",
        tmp_path / "run",
        *SHORT,
    ]
    code, _, said = deft(*arguments, "--strict")
    assert code == 2
    assert "02.png" in said
    code, _, said = deft(*arguments)
    assert code == 0
    assert "skipped 1 of 4" in said


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    a, b, c = (untrained(tiny_prior(), 0.3, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_masks_of_another_size(deft, prior_file: str, image_folder: str, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    np.save(masks / "half.npy", np.repeat([[0.0, 1.0]], 8, axis=0).repeat(4, axis=1))
    problem = [
        "--problem",
        "Inpainting",
        "--problem.masks",
        "MaskFiles",
        "--problem.masks.folder",
        masks,
    ]
    code, _, said = deft(
        "train",
        "--prior",
        prior_file,
        *problem,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        *SHORT,
    )
    assert code == 2
    assert "(8, 8)" in said


NONLINEAR = {
    "HighDynamicRange": ["--problem.factor", "3"],
    "JPEG": ["--problem.quality", "10"],
    "NonlinearBlur": ["--problem.kernel", "gaussian", "--problem.sigma_y", "0.05"],
    "PhaseRetrieval": ["--problem.iterations", "5", "--problem.restarts", "2"],
    "Deepinv": ["--problem.physics", "tests.interop.deepinv.test_problem.averaged"],
    "BlackBox": [
        "--problem.function",
        "tests.problems.test_own.signs",
        "--problem.lift",
        "tests.problems.test_own.signs",
    ],
}


@pytest.mark.parametrize("name", NONLINEAR)
def test_what_is_not_linear_is_trained_sampled_and_evaluated_by_its_name(
    deft, prior_file: str, image_folder: str, tmp_path: Path, name: str
) -> None:
    problem, few = (
        ["--problem", name, *NONLINEAR[name]],
        ["--images", image_folder, "--limit", "1", "--samples", "2"],
    )
    code, _, wrong = deft(
        "train",
        "--prior",
        prior_file,
        *problem,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        *SHORT,
    )
    assert code == 0, wrong
    own = ["--allow", "deepinv", "--allow", "tests"] if name in ("Deepinv", "BlackBox") else []
    if own:
        code, _, wrong = deft(
            "sample", "--h", tmp_path / "run", *few, "--steps", "2", "--out", tmp_path / "s"
        )
        assert code == 2
        assert "--allow" in wrong
    code, _, wrong = deft(
        "sample", "--h", tmp_path / "run", *few, "--steps", "2", "--out", tmp_path / "s", *own
    )
    assert code == 0, wrong
    with np.load(tmp_path / "s" / "00.npz") as z:
        assert np.isfinite(z["samples"]).all()
    method = {
        "class_path": "deft.commands.methods.DEFT",
        "init_args": {
            "checkpoint": str(tmp_path / "run"),
            "sampler": {"class_path": "DDIM", "init_args": {"steps": 2}},
        },
    }
    (tmp_path / "methods.yaml").write_text(yaml.safe_dump({"methods": {"DEFT": method}}))
    code, _, wrong = deft(
        "evaluate",
        "--config",
        tmp_path / "methods.yaml",
        "--prior",
        prior_file,
        *problem,
        *few,
        "--out",
        tmp_path / "e",
        *own,
    )
    assert code == 0, wrong


def test_mri_by_its_name(deft, image_folder: str, tmp_path: Path) -> None:
    zoo.save(tmp_path / "complex.safetensors", tiny_prior(shape=(2, 16, 16)), {"data": "none"})
    np.save(
        tmp_path / "complex.npy",
        np.random.default_rng(0).uniform(-1, 1, (6, 2, 16, 16)).astype(np.float32),
    )
    given = ["--prior", tmp_path / "complex.safetensors", "--images", tmp_path / "complex.npy"]
    code, _, wrong = deft("train", *given, "--problem", "MRI", "--out", tmp_path / "run", *SHORT)
    assert code == 0, wrong
