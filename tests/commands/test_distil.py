"""`deft distil`: what it writes, what takes it, and that it goes on."""

import json
import warnings

import deft as library
from deft.errors import OutsideTraining
from deft.samplers.dpm_solver import DPMSolver
from deft.training import checkpoint


def arguments(run_folder, image_folder, out, *more):
    return (
        "distil",
        "--h",
        run_folder,
        "--images",
        image_folder,
        "--out",
        out,
        "--steps_to",
        "2",
        "--steps",
        "2",
        "--batch_size",
        "2",
        *more,
    )


def test_its_card_holds_the_sampler_that_it_is_for(deft, run_folder, image_folder, tmp_path):
    out = tmp_path / "short"
    code, said, wrong = deft(*arguments(run_folder, image_folder, out))
    assert code == 0, wrong
    assert "2 evaluations" in said
    card = checkpoint.read_card(out / "h.safetensors")
    assert card["training"]["distilled"]["by"] == "score"
    assert len(card["training"]["distilled"]["log_snr"]) == 2
    assert card["training"]["began_from"] == str(run_folder / "h.safetensors")
    loaded = library.load(out)
    assert isinstance(loaded.sampler, DPMSolver)
    assert (loaded.sampler.steps, loaded.sampler.grid.high) == (2, 6.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutsideTraining)
        code, _, wrong = deft(
            *("sample", "--h", out, "--images", image_folder, "--out", tmp_path / "drawn"),
            *("--samples", "1", "--limit", "1"),
        )
    assert code == 0, wrong
    assert "distilled for" not in wrong
    code, _, wrong = deft(
        *("sample", "--h", out, "--images", image_folder, "--out", tmp_path / "others"),
        *("--samples", "1", "--limit", "1", "--steps", "3"),
    )
    assert code == 0
    assert "distilled for 2 evaluations" in wrong
    code, _, wrong = deft(*arguments(out, image_folder, tmp_path / "again", "--by", "teacher"))
    assert code == 2
    assert "was distilled for 2 evaluations" in wrong


def test_by_a_teacher_and_once_more(deft, run_folder, image_folder, tmp_path):
    out, more = tmp_path / "led", ("--by", "teacher", "--teacher_steps", "4")
    code, _, wrong = deft(*arguments(run_folder, image_folder, out, *more))
    assert code == 0, wrong
    first = (out / "h.safetensors").read_bytes()
    code, _, wrong = deft(*arguments(run_folder, image_folder, out, *more))
    assert code == 0, wrong
    assert len((out / "h.safetensors").read_bytes()) == len(first)
    steps = [json.loads(line).get("step") for line in (out / "metrics.jsonl").open()]
    assert max(filter(None, steps)) == 2
    code, _, wrong = deft(*arguments(run_folder, image_folder, out, *more, "--high", "3"))
    assert code == 2
    assert "other settings" in wrong
