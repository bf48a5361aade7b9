"""Options that make evaluations cheaper, of `deft sample` and `deft evaluate`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

OPTIONS = {
    "plain": [],
    "channels_last": ["--channels_last", "true"],
    "bf16": ["--precision", "bf16"],
    "reuse": ["--reuse", "2"],
}


@pytest.fixture
def sample(deft, run_folder: Path, image_folder: str, tmp_path: Path):
    def run(out: str, *options: str) -> tuple[int, str, str]:
        return deft(
            "sample",
            "--h",
            run_folder,
            "--images",
            image_folder,
            "--limit",
            "1",
            "--samples",
            "1",
            "--steps",
            "4",
            "--out",
            tmp_path / out,
            *options,
        )

    return run


def drawn(folder: Path) -> np.ndarray:
    with np.load(next(folder.glob("*.npz"))) as found:
        return found["samples"]


def test_each_draws_nearly_the_same_samples(sample, tmp_path) -> None:
    found = {}
    for name, options in OPTIONS.items():
        code, _, wrong = sample(name, *options)
        assert code == 0, wrong
        found[name] = drawn(tmp_path / name)
    # rounding: 1e-4 in single precision, percents in bf16; reuse is an approximation
    assert np.abs(found["channels_last"] - found["plain"]).max() < 1e-3
    assert 0 < np.abs(found["bf16"] - found["plain"]).max() < 0.2
    assert 0 < np.abs(found["reuse"] - found["plain"]).max() < 0.5


def test_a_compiler_that_fails_is_one_line_and_the_samples_are_there(
    sample, tmp_path, monkeypatch
) -> None:
    def fails(*_, **__):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", fails)
    code, said, wrong = sample("compiled", "--compile", "true")
    assert code == 0, wrong
    assert said.count("runs without torch.compile, which failed: RuntimeError: no compiler") >= 1
    monkeypatch.undo()
    assert sample("plain")[0] == 0
    assert np.array_equal(drawn(tmp_path / "compiled"), drawn(tmp_path / "plain"))


def test_what_was_drawn_otherwise_is_not_taken_for_done(sample, tmp_path) -> None:
    assert sample("out")[0] == 0
    code, _, wrong = sample("out", "--reuse", "2")
    assert code == 2
    assert "reuse" in wrong


def test_an_h_that_was_not_validated_cannot_be_skipped(sample) -> None:
    code, _, wrong = sample("out", "--skip_h", "0.1")
    assert code == 2
    assert "--skip_h" in wrong
    assert "leave it out" in wrong.lower()


def test_evaluate_records_how_the_prior_was_evaluated(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    config = tmp_path / "evaluate.yaml"
    config.write_text(
        "methods:\n  prior:\n    class_path: deft.commands.methods.Unconditional\n"
        "    init_args:\n      sampler:\n        class_path: DPMSolver\n"
        "        init_args: {steps: 2}\n"
    )
    command = [
        *("evaluate", "--config", config, "--prior", prior_file, "--images", image_folder),
        *("--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"),
        *("--limit", "2", "--samples", "1", "--out", tmp_path / "out"),
    ]
    code, _, wrong = deft(*command, "--reuse", "2", "--precision", "bf16")
    assert code == 0, wrong
    card = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert '"reuse"' in json.dumps(card)
    assert "bf16" in json.dumps(card)
    assert deft(*command)[0] == 2
