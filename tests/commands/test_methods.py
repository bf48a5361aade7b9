"""Every method, from the command line and from YAML: those that condition inside their step,
those that guide through the prior, and SMC.
"""

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
    common = [
        "--prior",
        prior_file,
        *problem,
        "--images",
        image_folder,
        "--limit",
        "1",
        "--samples",
        "2",
        "--out",
        tmp_path,
    ]
    code, _, said = deft("sample", "--method", name, *options, *common)
    assert code == 0, said
    with np.load(tmp_path / "00.npz") as z:
        assert z["samples"].shape == (2, 1, 16, 16)
        assert z["samples"].dtype == np.float32
        assert np.isfinite(z["samples"]).all()


def configured(prior: str, images: str, out: Path, methods: dict, **more) -> Path:
    """A YAML file for super-resolution of two images."""
    config = {
        "prior": prior,
        "images": images,
        "problem": {"class_path": "SuperResolution", "init_args": {"factor": 4, "sigma_y": 0.05}},
        "methods": methods,
        "out": str(out / "run"),
        "limit": 2,
        "samples": 2,
        **more,
    }
    (out / "evaluate.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return out / "evaluate.yaml"


def recipe(name: str, **options) -> dict:
    return {"class_path": f"deft.commands.methods.{name}", "init_args": options}


def test_every_method_side_by_side(
    deft, run_folder: Path, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    """In one run, with what each costs, and with the weights of those that have some."""
    ancestral = {"class_path": "DDIM", "init_args": {"steps": 3, "eta": 1.0}}
    methods = {name: recipe(name, **options) for name, options in {**METHODS, **GUIDED}.items()}
    methods |= {name: recipe(name, steps=3) for name in ("DPS", "DDNMPlus")}
    methods["DDNM"] = recipe("Given", h_transform={"class_path": "deft.DDNM"}, sampler=ancestral)
    methods["DEFT"] = recipe(
        "DEFT", checkpoint=str(run_folder), sampler=ancestral, any_problem=True
    )
    methods["SMC, DEFT"] = recipe(
        "TwistedSMC", proposal=methods["DEFT"], particles=4, threshold=0.0
    )
    methods["SMC, PiGDM"] = recipe("TwistedSMC", proposal=methods["PiGDM"], particles=4, images=1)
    code, said, wrong = deft(
        "evaluate",
        "--config",
        configured(prior_file, image_folder, tmp_path, methods, paths=3, limit=1),
    )
    assert code == 0, wrong
    results = {
        m["label"]: m
        for m in json.loads((tmp_path / "run" / "results.json").read_text())["methods"]
    }
    assert list(results) == list(methods)
    evaluations = {name: EVALUATIONS.get(name, 3) for name in methods} | {
        "SMC, DEFT": 6,
        "SMC, PiGDM": 6,
    }
    assert {
        name: m["summary"]["evaluations"]["value"] for name, m in results.items()
    } == evaluations
    gradients = {name: m["summary"]["prior_gradients"]["value"] for name, m in results.items()}
    assert gradients == {
        name: {**GRADIENTS, "DPS": 3, "SMC, PiGDM": 6}.get(name, 0) for name in methods
    }
    for name, method in results.items():
        assert method["broken_samples"] == 0, name
        assert (method["summary"]["training_seconds"]["value"] > 0) == ("DEFT" in name)
        assert (method["weights"] is not None) == name.startswith("SMC")
        weighed = name in (*GUIDED, "DPS", "DDNM", "DEFT")
        assert (
            bool(
                method["path_weights"]["cards"]
                or "not finite" in (method["path_weights"]["reason"] or "")
            )
            == weighed
        ), name
    assert "| SMC, DEFT (samples chosen by weight) |" in said


def test_methods_that_do_not_apply_are_refused_before_anything_is_drawn(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    reflect = {"class_path": "Deblurring", "init_args": {"border": "reflect", "sigma_y": 0.05}}
    methods = {"Prior alone": recipe("Unconditional"), "SVD": recipe("DDRM", steps=3)}
    code, _, said = deft(
        "evaluate",
        "--config",
        configured(prior_file, image_folder, tmp_path, methods, problem=reflect),
    )
    assert code == 2
    assert "SVD: DDRM needs the singular values of the operator; ReflectBlur has none" in said
    assert not (tmp_path / "run").exists()
    silent = {"class_path": "SuperResolution", "init_args": {"factor": 4, "sigma_y": 0.0}}
    methods = {"Prior alone": recipe("Unconditional"), "SMC": recipe("TwistedSMC")}
    code, _, said = deft(
        "evaluate",
        "--config",
        configured(prior_file, image_folder, tmp_path, methods, problem=silent),
    )
    assert code == 2
    assert "SMC: TwistedSMC needs a density" in said
    assert "use the sampler DDIM, Heun or DPMSolver" in said
    methods = {"SMC": recipe("TwistedSMC", proposal=recipe("DDNMPlus"))}
    code, _, said = deft(
        "evaluate", "--config", configured(prior_file, image_folder, tmp_path, methods)
    )
    assert code == 2
    assert (
        "the proposal of TwistedSMC needs steps of one evaluation and one Gaussian draw; DDNMPlus "
        "has others; use DDIM with eta > 0" in said
    )
    assert not (tmp_path / "run").exists()


def test_samples_by_smc_come_with_their_weights(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    method = [
        "--method",
        "TwistedSMC",
        "--method.particles",
        "4",
        "--method.proposal",
        "PiGDM",
        "--method.proposal.steps",
        "3",
    ]
    common = [
        "--prior",
        prior_file,
        *problem,
        "--images",
        image_folder,
        "--limit",
        "2",
        "--samples",
        "2",
        "--out",
        tmp_path,
    ]
    code, _, said = deft("sample", *method, "--method.threshold", "0", *common)
    assert code == 0, said
    cards = [json.loads((tmp_path / f"{name}-weights.json").read_text()) for name in ("00", "01")]
    assert [card["samples"] for card in cards] == [4, 4]
    assert said.count("weights collapsed") == sum(card["collapsed"] for card in cards)
    with np.load(tmp_path / "01.npz") as z:
        assert z["samples"].shape == (2, 1, 16, 16)


def test_what_a_method_cannot_do_is_said(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    problem = [
        "--problem",
        "Deblurring",
        "--problem.border",
        "reflect",
        "--problem.sigma_y",
        "0.05",
    ]
    code, _, said = deft(
        "sample",
        "--method",
        "DDRM",
        "--prior",
        prior_file,
        *problem,
        "--images",
        image_folder,
        "--limit",
        "1",
        "--out",
        tmp_path,
    )
    assert code == 2
    assert "ReflectBlur has none" in said
    assert "Traceback" not in said


def test_they_are_listed(deft) -> None:
    said = deft("list", "--kind", "methods")[1] + deft("list", "--kind", "samplers")[1]
    for name in METHODS:
        assert said.count(f".{name} ") == 2
    said = deft("list", "--kind", "methods")[1] + deft("list", "--kind", "h-transforms")[1]
    for name in GUIDED:
        assert said.count(f".{name} ") == 2
