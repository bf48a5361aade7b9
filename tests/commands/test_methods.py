"""Methods that condition inside their step, and methods that guide through the prior, from the command line and from YAML."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

METHODS = {
    "DiffPIR": {"steps": 3},
    "REDDiff": {"steps": 3},
    "DDRM": {"steps": 3},
    "Replacement": {"steps": 4, "jump_length": 2, "resamplings": 2},
    "DAPS": {"steps": 3, "ode_steps": 2, "langevin_steps": 3},
}
EVALUATIONS = {"DiffPIR": 3, "REDDiff": 3, "DDRM": 3, "Replacement": 6, "DAPS": 6}
GUIDED = {
    "PiGDM": {"steps": 3},
    "MCG": {"steps": 3, "step": 0.1},
    "LGD": {"steps": 3, "points": 2, "zeta": 0.5},
    "TMPD": {"steps": 3},
    "MMPS": {"steps": 3, "iterations": 2},
}
GRADIENTS = {"PiGDM": 3, "MCG": 3, "LGD": 3, "TMPD": 6, "MMPS": 9}


@pytest.mark.parametrize("name", METHODS)
def test_sample(deft, prior_file: str, image_folder: str, tmp_path: Path, name: str) -> None:
    options = [text for key, value in METHODS[name].items() for text in (f"--method.{key}", value)]
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    common = ["--prior", prior_file, *problem, "--images", image_folder, "--limit", "1", "--samples", "2", "--out", tmp_path]
    code, _, said = deft("sample", "--method", name, *options, *common)
    assert code == 0, said
    with np.load(tmp_path / "00.npz") as z:
        assert z["samples"].shape == (2, 1, 16, 16)
        assert z["samples"].dtype == np.float32
        assert np.isfinite(z["samples"]).all()


def test_evaluate(deft, prior_file: str, image_folder: str, tmp_path: Path) -> None:
    config = {
        "prior": prior_file,
        "images": image_folder,
        "problem": {"class_path": "SuperResolution", "init_args": {"factor": 4, "sigma_y": 0.05}},
        "methods": {name: {"class_path": f"deft.commands.methods.{name}", "init_args": options} for name, options in METHODS.items()},
        "out": str(tmp_path / "run"),
        "samples": 1,
    }
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(config))
    code, _, said = deft("evaluate", "--config", tmp_path / "evaluate.yaml")
    assert code == 0, said
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    for method in results["methods"]:
        assert method["summary"]["evaluations"]["value"] == EVALUATIONS[method["label"]]
        assert method["summary"]["prior_gradients"]["value"] == 0
        assert method["broken_samples"] == 0


def test_evaluate_guided(deft, prior_file: str, image_folder: str, tmp_path: Path) -> None:
    config = {
        "prior": prior_file,
        "images": image_folder,
        "problem": {"class_path": "SuperResolution", "init_args": {"factor": 4, "sigma_y": 0.05}},
        "methods": {name: {"class_path": f"deft.commands.methods.{name}", "init_args": options} for name, options in GUIDED.items()},
        "out": str(tmp_path / "run"),
        "samples": 1,
    }
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(config))
    code, _, said = deft("evaluate", "--config", tmp_path / "evaluate.yaml")
    assert code == 0, said
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    for method in results["methods"]:
        assert method["summary"]["evaluations"]["value"] == 3
        assert method["summary"]["prior_gradients"]["value"] == GRADIENTS[method["label"]]
        assert method["broken_samples"] == 0


def test_what_a_method_cannot_do_is_said(deft, prior_file: str, image_folder: str, tmp_path: Path) -> None:
    problem = ["--problem", "Deblurring", "--problem.border", "reflect", "--problem.sigma_y", "0.05"]
    code, _, said = deft(
        "sample", "--method", "DDRM", "--prior", prior_file, *problem, "--images", image_folder, "--limit", "1", "--out", tmp_path
    )
    assert code == 2
    assert "ReflectBlur has none. Use DiffPIR" in said
    assert "Traceback" not in said


def test_they_are_listed(deft) -> None:
    said = deft("list", "--kind", "methods")[1] + deft("list", "--kind", "samplers")[1]
    for name in METHODS:
        assert said.count(f".{name} ") == 2
    said = deft("list", "--kind", "methods")[1] + deft("list", "--kind", "h-transforms")[1]
    for name in GUIDED:
        assert said.count(f".{name} ") == 2
