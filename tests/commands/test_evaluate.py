"""`deft evaluate`: methods from a YAML file to results.json and report.html."""

import json
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def config(run_folder: Path, prior_file: str, image_folder: str, tmp_path: Path) -> Path:
    few = {"class_path": "DDIM", "init_args": {"steps": 2}}
    content = {
        "prior": prior_file,
        "images": image_folder,
        "out": str(tmp_path / "e"),
        "limit": 2,
        "samples": 2,
        "problem": {"class_path": "Inpainting", "init_args": {"masks": "box", "sigma_y": 0.05}},
        "methods": {
            "Prior alone": {"class_path": "Unconditional", "init_args": {"sampler": few}},
            "DPS": {"class_path": "DPS", "init_args": {"steps": 2, "images": 1}},
            "DDNM+": {"class_path": "DDNMPlus", "init_args": {"steps": 2}},
            "By hand": {
                "class_path": "Given",
                "init_args": {"h_transform": {"class_path": "deft.DDNM"}, "sampler": few},
            },
            "DEFT": {
                "class_path": "deft.commands.methods.DEFT",
                "init_args": {"checkpoint": str(run_folder / "h.safetensors"), "sampler": few},
            },
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path / "run.yaml"


def test_it_writes_results_and_a_report(deft, config: Path, tmp_path: Path) -> None:
    code, said, wrong = deft("evaluate", "--config", config)
    assert code == 0, wrong
    assert "| DEFT |" in said
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert [m["label"] for m in results["methods"]] == [
        "Prior alone",
        "DPS",
        "DDNM+",
        "By hand",
        "DEFT",
    ]
    assert "http://" not in (tmp_path / "e" / "report.html").read_text().replace(
        "http://www.w3.org", ""
    )
    assert yaml.safe_load((tmp_path / "e" / "config.yaml").read_text())["samples"] == 2
    code, _, wrong = deft("evaluate", "--config", config, "--seed", "1")
    assert code == 2
    assert "seed: 0 before, 1 now" in wrong


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (["--metods", "x"], "Did you mean --methods"),
        (["--reference", "DEFTT"], "DEFTT"),
        (["--problem", "SuperResolution"], "was trained for"),
        (["--weights.features", "nowhere.pt"], "no weights file nowhere.pt"),
        (["--weights.lpips", "nowhere.pt"], "LPIPS needs two files"),
        (["--limit", "0"], "--limit: got 0"),
        (["--batch-size", "0"], "--batch_size: got 0"),
    ],
)
def test_what_is_wrong_is_said(deft, config: Path, option: list[str], expected: str) -> None:
    code, _, said = deft("evaluate", "--config", config, *option)
    assert code == 2
    assert expected in said
