"""The five lines of docs/pipeline.md run as they stand, but for what would take long; calls on the
page name what is there.
"""

import inspect
import re
from pathlib import Path

import numpy as np
from PIL import Image

from deft import DeftPipeline
from deft.pipeline.answers import Answers, Assessment

PAGE = (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text()
SHORT = {"h-natural-64-inpainting": "h-digits-32-inpainting", "num_samples=8": "steps=2"}


def test_the_five_lines(tmp_path, monkeypatch):
    block = re.findall(r"```python\n(.*?)```", PAGE, re.S)[0]
    for long, short in SHORT.items():
        assert long in block
        block = block.replace(long, short)
    assert len([line for line in block.splitlines() if line]) == 5
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 32)).astype(np.uint8)
    mask = np.full((32, 32), 255, np.uint8)
    mask[8:20] = 0
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pixels).save("scratched.png")
    Image.fromarray(mask).save("mask.png")
    exec(block, {})
    with Image.open("restored.png") as restored:
        assert restored.size == (32, 32)


def test_what_the_page_names():
    options = set()
    for call in ("__call__", "save_pretrained", "push_to_hub", "from_pretrained"):
        options |= set(inspect.signature(getattr(DeftPipeline, call)).parameters)
    named = set(re.findall(r"[(\s`](\w+)=", PAGE)) - {"grid", "timestep_spacing"}
    assert named <= options
    here = (Answers, Assessment, DeftPipeline)
    for name in re.findall(r"(?:answers|pipe|verdicts\[0\])\.(\w+)", PAGE):
        fields = {field for cls in here for field in cls.__dataclass_fields__}
        assert name in fields or any(hasattr(cls, name) for cls in here), name
