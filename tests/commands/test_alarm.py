"""`deft alarm`, and what `deft sample` and `deft evaluate` say with its reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from deft.training import checkpoint
from tests.commands.conftest import save_images


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    return save_images(tmp_path_factory.mktemp("many"), 24, seed=3)


@pytest.fixture(scope="module")
def alarmed(run_folder, many, tmp_path_factory) -> Path:
    from deft.cli import main

    out = tmp_path_factory.mktemp("alarm") / "h"
    given = ["alarm", "--h", run_folder, "--images", many, "--out", out, "--samples", "2"]
    given += ["--steps", "2", "--noise_images", "3"]
    assert main([str(one) for one in given]) == 0
    return out


def test_the_reference_is_on_the_card_and_the_weights_are_the_same(alarmed, run_folder):
    card = checkpoint.read_card(alarmed / "h.safetensors")
    before = checkpoint.read_card(run_folder / "h.safetensors")
    said = card["alarm"]
    assert (said["images"], said["samples"]) == (24, [1, 2])
    assert said["noise"]["factor"] == [0.5, 1.0, 2.0, 4.0]
    assert {**card, "alarm": None} == {**before, "alarm": None}
    again = (alarmed / "parts").rglob("*.npz")
    assert len(list(again)) >= 4


def test_it_goes_on_and_refuses_other_settings(deft, alarmed, run_folder, many):
    given = ["alarm", "--h", run_folder, "--images", many, "--out", alarmed, "--steps", "2"]
    given += ["--noise_images", "3"]
    written = {path: path.stat().st_mtime_ns for path in alarmed.rglob("*.npz")}
    code, said, _ = deft(*given, "--samples", "2")
    assert code == 0
    assert "reference of 24 images x 2 samples" in said
    assert {path: path.stat().st_mtime_ns for path in alarmed.rglob("*.npz")} == written
    code, _, said = deft(*given, "--samples", "3")
    assert code == 2
    assert "samples" in said


def test_sample_gives_a_verdict_for_each_measurement(deft, alarmed, image_folder, tmp_path):
    given = ["sample", "--h", alarmed, "--images", image_folder, "--limit", "2", "--samples", "2"]
    code, said, _ = deft(*given, "--steps", "2", "--out", tmp_path / "s")
    assert code == 0
    for name in ("00", "01"):
        assert f"{name}: fits (p = " in said or f"{name}: doubtful (p = " in said
    lines = (tmp_path / "s" / "done.jsonl").read_text().splitlines()
    verdict = json.loads(lines[0])["verdict"]
    assert verdict["level"] in ("fits", "doubtful")
    assert set(verdict["statistics"]) >= {"misfit", "shared", "gain"}
    code, said, _ = deft(*given, "--steps", "3", "--out", tmp_path / "other")
    assert code == 0
    assert said.count("no verdict: the reference was measured with another sampler") == 1


def test_without_a_reference_it_is_said_once(deft, run_folder, image_folder, tmp_path):
    given = ["sample", "--h", run_folder, "--images", image_folder, "--limit", "2"]
    code, said, _ = deft(*given, "--samples", "2", "--steps", "2", "--out", tmp_path / "s")
    assert code == 0
    assert said.count("no reference: `deft alarm` measures one") == 1


def test_a_measurement_that_is_nothing_of_the_kind_is_doubtful(deft, alarmed, tmp_path):
    y = np.random.default_rng(0).normal(0, 6, (1, 1, 16, 16)).astype(np.float32)
    y[..., 4:12, 4:12] = 0
    np.save(tmp_path / "y.npy", y)
    given = ["sample", "--h", alarmed, "--measurements", tmp_path / "y.npy", "--samples", "2"]
    given += ["--steps", "2", "--value_range", "[-1,1]", "--out", tmp_path / "s"]
    code, said, _ = deft(*given)
    assert code == 0
    assert "00000: doubtful (p = 0.04" in said
    assert "usually" in said


def test_sigma_y_is_estimated(deft, alarmed, run_folder, many, tmp_path):
    drawn = tmp_path / "drawn"
    given = ["--samples", "2", "--steps", "2"]
    code, _, _ = deft(
        "sample", "--h", alarmed, "--images", many, "--limit", "6", "--out", drawn, *given
    )
    assert code == 0
    y = np.stack([np.load(drawn / f"{i:02d}.npz")["y"] for i in range(6)])
    np.save(tmp_path / "y.npy", y)
    measured = ["--measurements", tmp_path / "y.npy", "--sigma_y", "estimate", *given]
    code, said, _ = deft("sample", "--h", alarmed, *measured, "--out", tmp_path / "s")
    assert code == 0
    level = float(said.split("sigma_y estimated: ")[1].split(" ")[0].rstrip(","))
    assert 0.025 <= level <= 0.1
    code, _, said = deft("sample", "--h", run_folder, *measured, "--out", tmp_path / "other")
    assert code == 2
    assert "deft alarm" in said


def test_evaluate_counts_alarms(deft, alarmed, prior_file, image_folder, tmp_path):
    few = {"class_path": "DPMSolver", "init_args": {"steps": 2}}
    method = {"class_path": "DEFT", "init_args": {"checkpoint": str(alarmed), "sampler": few}}
    (tmp_path / "e.yaml").write_text(yaml.safe_dump({"methods": {"DEFT": method}}))
    given = ["evaluate", "--config", tmp_path / "e.yaml", "--prior", prior_file, "--samples", "2"]
    given += ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    given += ["--images", image_folder, "--limit", "3", "--out", tmp_path / "out"]
    assert deft(*given)[0] == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["methods"][0]["per_image"]["alarm"]) == 3
    assert "alarm" in results["methods"][0]["summary"]
    kept = tmp_path / "out" / "parts" / "deft" / "alarms.json"
    before = kept.read_bytes()
    assert deft(*given)[0] == 0
    assert kept.read_bytes() == before
    kept.write_text("{")
    code, _, said = deft(*given)
    assert code == 2
    assert "delete it" in said


def test_too_few_images_are_refused(deft, run_folder, image_folder, tmp_path):
    given = ["alarm", "--h", run_folder, "--images", image_folder, "--out", tmp_path / "a"]
    code, _, said = deft(*given, "--steps", "2")
    assert code == 2
    assert "8 images" in said
    assert "19 or more" in said
    assert not (tmp_path / "a" / "h.safetensors").exists()
