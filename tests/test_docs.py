"""The code and the command lines of the README run as they stand, but for what would take long."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import deft
from deft import cli
from tests.bad_input import protein_world

SHORT = {
    "steps=2_000": "steps=2, batch_size=2",
    "DPMSolver(steps=20)": "DPMSolver(steps=2)",
    "num_samples=8": "num_samples=2",
}
"""What is made short, and the folders that stand for the reader's own."""


def test_the_first_block_of_the_readme_runs(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(4):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 40)).astype(np.uint8)).save(
            folder / f"{k}.png"
        )
    text = (Path(__file__).parents[1] / "README.md").read_text()
    block = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    for long, short in SHORT.items():
        assert long in block
        block = block.replace(long, short)
    assert '"FOLDER"' in block
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block.replace('"FOLDER"', repr(str(folder))), names)
    assert names["samples"].shape == (1, 2, 1, 32, 32)


def test_the_second_block_of_the_readme_runs():
    """An operator that the h-transform has never seen: the samples explain y, where those of the
    prior alone are off by more than six times the noise.
    """
    text = (Path(__file__).parents[1] / "README.md").read_text()
    block = re.findall(r"```python\n(.*?)```", text, re.S)[1]
    operator, measured = block.split("loaded ", 1)
    names: dict = {"torch": torch, "deft": deft}
    torch.manual_seed(0)
    exec(operator, names)
    likelihood = deft.GaussianLikelihood(names["A"], 0.05)
    names["y"] = likelihood.sample(_drawn(deft.priors.load("digits-32")), deft.Noise([0]))
    exec("loaded " + measured, names)
    assert names["samples"].shape == (1, 8, 1, 32, 32)
    misfit = likelihood.misfit(names["samples"][0], names["y"].expand(8, -1))
    assert ((misfit > 0.7) & (misfit < 3)).all()
    alone = likelihood.misfit(_drawn(names["loaded"].prior, 4), names["y"])
    assert alone.min() > 6


def _drawn(prior, seed=3):
    return deft.DPMSolver(10)(prior, num_samples=1, seed=seed)[0]


ROOT = Path(__file__).parents[1]
FIXTURES = {
    "--measurements FOLDER": "--measurements pictures --sigma_y 0.05",
    "--masks FOLDER": "--masks masks",
    "FOLDER": "pictures",
    "SLICES.npy": "slices.npy",
    "--out run": "--out run --steps 2 --batch_size 2",
    "--size 30000": "--size 4",
    "--out adapted": "--out adapted --steps 2 --batch_size 2 --validation_share 0",
    "--out calibrated": "--out calibrated --samples 2 --steps 2 --level 0.6",
    "--out watched": "--out watched --samples 1 --steps 2 --noise_images 2",
    "--out short": "--out short --steps 2 --batch_size 2",
    "--out samples": "--out samples-{line} --samples 1 --limit 1 --steps 2",
    "--config examples/evaluate.yaml": "--config examples/evaluate.yaml --limit 1 --samples 1",
    "--problem 5TPN.pdb -n 16": "--problem protein/motif.pdb --prior protein/tiny.safetensors -n 1 "
    "--steps 2 --judge false",
}
"""What stands for the reader's own files on the command line, and what makes it short."""
LEFT_OUT = ("deft demo", "deft app")
"""What takes minutes, or stays, and has tests of its own (commands/test_demo.py, app)."""


def lines() -> list[str]:
    """The commands of "On the command line", without their remarks."""
    part = (ROOT / "README.md").read_text().split("## On the command line\n")[1].split("\n## ")[0]
    return [
        line.split("#")[0].strip() for line in part.splitlines() if line.startswith("    deft ")
    ]


def test_there_are_lines_for_every_command():
    assert {line.split()[1] for line in lines()} == {
        "demo",
        "bank",
        "train",
        "distil",
        "adapt",
        "conformal",
        "alarm",
        "app",
        "sample",
        "evaluate",
        "list",
        "inspect",
        "scaffold",
    }


@pytest.mark.slow
def test_the_command_line_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for name, high in (("pictures", 256), ("masks", 2)):
        (tmp_path / name).mkdir()
        for k in range(20):
            picture = rng.integers(0, high, (32, 32)) * (1 if name == "pictures" else 255)
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / name / f"{k}.png")
    protein_world.build(tmp_path / "protein")
    np.save(tmp_path / "slices.npy", rng.uniform(-1000, 1500, (1, 128, 128)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    for number, line in enumerate(lines()):
        if line.startswith(LEFT_OUT):
            continue
        if line.startswith("deft evaluate"):  # of the run that examples/train.yaml would have left
            shutil.copytree("run", "outputs/digits-inpainting")
            (tmp_path / "examples").mkdir()
            text = (ROOT / "examples" / "evaluate.yaml").read_text()
            Path("examples/evaluate.yaml").write_text(
                text.replace("steps: 100", "steps: 2").replace("steps: 20", "steps: 2")
            )
        for theirs, ours in FIXTURES.items():
            line = line.replace(theirs, ours.format(line=number))
        assert cli.main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert len(list(tmp_path.glob("samples-*/*.npz"))) == 3
    assert list(tmp_path.glob("**/report.html"))
