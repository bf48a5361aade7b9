"""`deft inspect` and `deft list`."""

from pathlib import Path

import pytest
import torch

from deft.commands import catalogue
from deft.priors import zoo


def test_a_checkpoint(deft, run_folder: Path) -> None:
    for target in (run_folder, run_folder / "h.safetensors"):
        code, said, wrong = deft("inspect", target)
        assert code == 0, wrong
        assert all(
            word in said
            for word in ("LearnedHTransform", "Inpainting", "tiny", "VPLinear", "sha256", "steps 2")
        )


def test_a_training_state(deft, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes((run_folder / "state.safetensors").read_bytes())
    for target in (run_folder / "state.safetensors", tmp_path):  # a folder whose run has not ended
        code, said, _ = deft("inspect", target)
        assert code == 0
        assert "2 of 2" in said


def test_priors(deft, prior_file: str) -> None:
    code, said, _ = deft("inspect", prior_file)
    assert code == 0
    assert "1x16x16" in said
    assert "ramps" in said
    for name in zoo.names():
        assert deft("inspect", name)[0] == 0


def test_a_foreign_file_is_read_without_running_it(deft, tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.ones(3)}}, tmp_path / "w.pt")
    code, said, _ = deft("inspect", tmp_path / "w.pt")
    assert code == 0
    assert "3 in 1 tensors" in said
    torch.save({"run": print}, tmp_path / "evil.pt")
    code, _, said = deft("inspect", tmp_path / "evil.pt")
    assert code == 2
    assert "not executed" in said


def test_what_is_wrong_is_said(deft, run_folder: Path, tmp_path: Path) -> None:
    whole = (run_folder / "h.safetensors").read_bytes()
    (tmp_path / "h.safetensors").write_bytes(whole[:-50])
    code, _, said = deft("inspect", tmp_path / "h.safetensors")
    assert code == 2
    assert "truncated" in said
    assert deft("inspect", tmp_path / "nothing.safetensors")[0] == 2
    assert deft("inspect", "digit-32")[0] == 2


@pytest.mark.parametrize("kind", ["all", "priors", *catalogue.KINDS])
def test_the_list_has_every_kind(deft, kind: str) -> None:
    code, said, _ = deft("list", "--kind", kind)
    assert code == 0
    assert kind == "all" or f"{kind}:" in said


def test_the_list_is_found_from_the_package_itself() -> None:
    assert {"Inpainting", "SuperResolution", "Denoising"} <= {
        c.__name__ for c in catalogue.classes("problems")
    }
    assert {"DDIM", "Heun", "DPMSolver"} <= {c.__name__ for c in catalogue.classes("samplers")}
    assert all(catalogue.sentence(c) for kind in catalogue.KINDS for c in catalogue.classes(kind))
