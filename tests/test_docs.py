"""The code of the README runs as it stands, but for what would take long."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

SHORT = {"steps=2_000": "steps=2, batch_size=2", "DPMSolver(steps=20)": "DPMSolver(steps=2)", "num_samples=8": "num_samples=2"}
"""What is made short, and the folders that stand for the reader's own."""


def test_the_first_block_of_the_readme_runs(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(4):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 40)).astype(np.uint8)).save(folder / f"{k}.png")
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
