"""YAML files and options: overrides, misspelt names, a user's own class."""

from pathlib import Path

import pytest
import yaml
from jsonargparse import get_loader

from deft.commands import former

BASE = ["train", "--steps", "1", "--batch-size", "2", "--validation-share", "0"]


@pytest.fixture
def given(prior_file: str, image_folder: str, tmp_path: Path) -> list[str]:
    return [*BASE, "--prior", prior_file, "--images", image_folder, "--out", str(tmp_path / "run")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--problem", "Inpaintin"], "Did you mean Inpainting"),
        (["--problem", "deft.problems.Inpaintin"], "deft.problems.Inpainting"),
        (["--problem", "nowhere.Inpaintin"], "deft.problems.Inpainting"),
        (
            [
                "--problem",
                "Inpainting",
                "--problem.masks",
                "{class_path: deft.problems.BoxMask}",
            ],
            "Did you mean deft.problems.BoxMasks",
        ),
        (["--problem", "Inpainting", "--problem.mask", "box"], "Did you mean masks"),
        (["--problem", "Inpainting", "--problem.masks", "bxo"], "Did you mean box"),
        (
            ["--problem", "Inpainting", "--problem.sigma_y", "-1"],
            "got -1.0; expected a finite number >= 0",
        ),
        (["--problem", "Inpainting", "--stepz", "1"], "Did you mean --steps"),
        (["--problem", "Inpainting", "--steps", "many"], "a whole number"),
        (
            ["--problem", "Inpainting", "--steps", "0"],
            "--steps: got 0; expected a whole number from 1",
        ),
        (["--problem", "Inpainting", "--validation-share", "1.5"], "in [0, 0.5]"),
        ([], "--problem: got nothing"),
    ],
)
def test_what_is_wrong_is_said_and_the_nearest_named(
    deft, given: list[str], arguments: list[str], expected: str
) -> None:
    code, _, said = deft(*given, *arguments)
    assert code == 2
    assert expected in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("stepz: 3", "Did you mean steps"),
        ("problem: {class_path: Inpainting, init_args: {mask: box}}", "Did you mean masks"),
        ("problem: {class_path: Inpaiting}", "Did you mean Inpainting"),
        (
            "problem: {class_path: Inpainting, init_args: {masks: {class_path: BoxMask}}}",
            "Did you mean BoxMasks",
        ),
        ("prior: [", "config"),
    ],
)
def test_the_same_in_a_file(
    deft, given: list[str], tmp_path: Path, content: str, expected: str
) -> None:
    (tmp_path / "run.yaml").write_text(content)
    code, _, said = deft(*given, "--problem", "Inpainting", "--config", tmp_path / "run.yaml")
    assert code == 2
    assert expected in said


def test_the_command_line_overrides_the_file_and_the_result_is_kept(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    config = {
        "prior": prior_file,
        "images": image_folder,
        "out": str(tmp_path / "run"),
        "steps": 50,
        "batch_size": 2,
        "validation_share": 0,
        "problem": {
            "class_path": "deft.problems.SuperResolution",
            "init_args": {"factor": 2, "sigma_y": 0.1},
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    code, _, said = deft(
        "train", "--config", tmp_path / "run.yaml", "--steps", 1, "--problem.factor", 4
    )
    assert code == 0, said
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["steps"] == 1
    assert kept["problem"]["init_args"] == {"factor": 4, "kernel": "average", "sigma_y": 0.1}


def test_a_class_of_ones_own_needs_no_registry(
    deft, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_problem_for_the_test.py").write_text(
        "from deft.operators.identity import Identity\n"
        "from deft.problems import Problem\n"
        "class Mine(Problem):\n"
        "    def operator(self, x_0, noise):\n"
        "        return Identity()\n"
        "    def card(self):\n"
        "        return {'class_path': 'my_problem_for_the_test.Mine', 'init_args': {'sigma_y': "
        "self.sigma_y}}\n"
    )
    monkeypatch.chdir(tmp_path)
    code, _, said = deft(
        *given, "--problem", "my_problem_for_the_test.Mine", "--problem.sigma_y", "0.1"
    )
    assert code == 0, said


@pytest.mark.parametrize("steps", [0, -3])
def test_what_a_class_says_is_not_buried_in_what_the_parser_tried(
    deft, prior_file: str, image_folder: str, tmp_path: Path, steps: int
) -> None:
    sampler = ["--sampler", "DDIM", f"--sampler.steps={steps}"]
    code, _, wrong = deft(
        "sample",
        "--h",
        "nowhere",
        "--prior",
        prior_file,
        *sampler,
        "--images",
        image_folder,
        "--out",
        tmp_path / "x",
    )
    assert code == 2
    assert (
        wrong.strip()
        == f"deft: --sampler.steps: got {steps}; expected a whole number from 1 to 1,000,000, at "
        "least one step of a sampler."
    )


FORMER = [
    "deft.operators.masks.BoxMasks",
    "deft.operators.BoxMasks",
    "deft.problems.BoxMasks",
    "deft.problems.masks.BoxMasks",
    "BoxMasks",
]


@pytest.mark.parametrize("path", FORMER)
@pytest.mark.parametrize("typed", [False, True])
def test_a_class_goes_by_its_former_paths_too(
    deft, prior_file: str, image_folder: str, tmp_path: Path, path: str, typed: bool
) -> None:
    masks = {"class_path": path, "init_args": {"fraction": 0.25}}
    config = {
        "prior": prior_file,
        "images": image_folder,
        "out": str(tmp_path / "run"),
        "steps": 1,
        "batch_size": 2,
        "validation_share": 0,
        "problem": {
            "class_path": "Inpainting",
            "init_args": {"masks": "half" if typed else masks, "sigma_y": 0.1},
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    options = ["--problem.masks", path, "--problem.masks.fraction=0.25"] if typed else []
    code, _, said = deft("train", "--config", tmp_path / "run.yaml", *options)
    assert code == 0, said
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    recorded = kept["problem"]["init_args"]["masks"]
    assert recorded["class_path"] in ("deft.problems.BoxMasks", "deft.problems.masks.BoxMasks")
    assert recorded["init_args"] == {"fraction": 0.25, "centred": True}


def test_former_paths_are_read_inline_and_beside_an_equals_sign() -> None:
    masks, kernels = "deft.operators.MaskFiles", "deft.operators.kernels.MotionKernels"
    assert former.typed(["--problem", masks, f"--problem.kernel={kernels}", "--steps=3"]) == [
        "--problem",
        "deft.problems.MaskFiles",
        "--problem.kernel=deft.problems.MotionKernels",
        "--steps=3",
    ]
    former.read()
    inline = get_loader(former.MODE)(f"{{class_path: {masks}, init_args: {{folder: {masks}/a}}}}")
    assert inline == {
        "class_path": "deft.problems.MaskFiles",
        "init_args": {"folder": f"{masks}/a"},
    }
