"""The examples run."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import deft as deft_
from tests.bad_input import protein_world
from tests.studies.protein.programs import DESIGN, FOLD, program

EXAMPLES = Path(__file__).parents[2] / "examples"
ANY_RESIDUE = DESIGN.replace("one[n]", 'one.get(n, "X")')
FEW = ["--steps", "1", "--batch-size", "2", "--validation-share", "0"]


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart(tmp_path: Path) -> None:
    example("quickstart").main(steps=1, images=6, out=str(tmp_path / "picture.png"))
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_ct(tmp_path: Path) -> None:
    assert (
        0.5
        < example("ct").main(slices=1, samples=4, steps=8, out=str(tmp_path / "picture.png"))
        < 2.5
    )
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_latent(tmp_path: Path) -> None:
    """A network that learned nothing, whose pipeline is read as diffusers wrote it."""
    found = example("latent").main(14, (2, 2, 2), test=2, samples=4, out=str(tmp_path))
    assert (tmp_path / "posteriors.png").stat().st_size > 1000
    assert found["pixels"]["CRPS"] < found["latent"]["CRPS"]  # which had no time to learn
    assert deft_.priors.load(tmp_path / "pipeline").signal_shape == (1, 32, 32)


def test_closed_api() -> None:
    found = example("closed_api").main(steps=2, images=8, evaluations=2, batch_size=4, validation=8)
    assert found["difference"] <= 1e-5
    assert found["difference_after_a_kill"] <= 1e-5
    assert found["fewer_calls"] >= 5
    assert 0.5 < found["loss_ratio"] < 1.5


def test_own_backbone() -> None:
    found = example("own_backbone").main(training=120, samples=2, steps=16)
    assert found["with"] < 0.5 * found["without"]


def test_refold_designs(deft, tmp_path: Path) -> None:
    """With programs whose sequences fold into the design, but for every second one."""
    world = protein_world.build(tmp_path / "protein")
    code, _, errors = deft(
        *("scaffold", "--problem", world / "motif.pdb", "--prior", world / "tiny.safetensors"),
        *("-n", 1, "--method", "Replacement", "--steps", 2, "--out", tmp_path / "designs"),
        *("--judge", "false", "--page", "false"),
    )
    assert code == 0, errors
    (design,) = (tmp_path / "designs").glob("*.pdb")
    design_of = program(tmp_path, "design.py", ANY_RESIDUE) + " {pdb} {out} {fixed} {count}"
    fold = program(tmp_path, "fold.py", FOLD) + f" {design} {{fasta}} {{out}}"
    given = (str(tmp_path / "designs"), str(world / "motif.pdb"), design_of, fold)
    solved = example("refold_designs").main(*given, sequences=2, out=str(tmp_path / "folded"))
    assert solved == {"MADE": (1, 1)}
    bent = (*given[:2], design_of.replace("design.py", "other.py"), fold)
    program(tmp_path, "other.py", ANY_RESIDUE.replace('"AC"', '"CC"'))
    solved = example("refold_designs").main(*bent, sequences=2, out=str(tmp_path / "bent"))
    assert solved == {"MADE": (0, 1)}


def test_train_and_evaluate(deft, prior_file: str, image_folder: str, tmp_path: Path) -> None:
    given = ["--prior", prior_file, "--images", image_folder]
    code, _, said = deft(
        "train", "--config", EXAMPLES / "train.yaml", *given, "--out", tmp_path / "run", *FEW
    )
    assert code == 0, said
    text = (
        (EXAMPLES / "evaluate.yaml")
        .read_text()
        .replace("outputs/digits-inpainting", str(tmp_path / "run"))
    )
    (tmp_path / "evaluate.yaml").write_text(
        text.replace("steps: 100", "steps: 2").replace("steps: 20", "steps: 2")
    )
    code, _, said = deft(
        "evaluate",
        "--config",
        tmp_path / "evaluate.yaml",
        *given,
        "--limit",
        "2",
        "--samples",
        "2",
        "--out",
        tmp_path / "e",
    )
    assert code == 0, said


def test_a_problem_of_ones_own(
    deft, prior_file: str, image_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    given = ["--prior", prior_file, "--images", image_folder, "--out", tmp_path / "run", *FEW]
    code, _, said = deft("train", "--config", "own_problem.yaml", *given)
    assert code == 0, said
    few = ["--samples", "2", "--steps", "2", "--limit", "1"]
    code, _, said = deft(
        "sample",
        "--h",
        tmp_path / "run" / "h.safetensors",
        "--images",
        image_folder,
        "--out",
        tmp_path / "s",
        *few,
        "--allow",
        "own_problem",
    )
    assert code == 0, said
