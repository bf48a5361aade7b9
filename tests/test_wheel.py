"""The wheel in a new environment: five lines of Python restore a photograph, and what they saved
gives the same samples elsewhere.

Seconds are printed, not compared: no test depends on a clock.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deft
from deft.commands import photographs
from deft.data.arrays import to_uint8

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).parents[1]
LINES = """
from PIL import Image
from deft import DeftPipeline
pipe = DeftPipeline.from_pretrained("folder")
answers = pipe(Image.open("photograph.png"), mask=Image.open("mask.png"), num_samples=8, seed=0)
answers.picture(0).save("restored.png")
"""
AND_SAVE = """
import deft
import numpy as np
np.save("samples.npy", answers.samples.numpy())
pipe.save_pretrained("saved")
print(deft.__file__)
print(answers.verdicts[0].line())
"""
ELSEWHERE = """
import numpy as np
from PIL import Image
import deft
pipe = deft.load("moved")
answers = pipe(Image.open("photograph.png"), mask=Image.open("mask.png"), num_samples=8, seed=0)
np.save("samples.npy", answers.samples.numpy())
"""


def run(command, where, env):
    """What a command printed, and its seconds: those that passed, and those of the processors."""
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, f"{time.monotonic() - begin:.1f} s ({used:.1f} s of the processors)"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The Python of a new environment with the wheel and what it needs, and nothing else."""
    home = tmp_path_factory.mktemp("wheel")
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    clean = {name: value for name, value in os.environ.items() if name not in hidden}
    quiet = ["--disable-pip-version-check", "-q"]
    build = [sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "-w", str(home), str(ROOT)]
    _, built = run(build, home, clean)
    (wheel,) = home.glob("deft_diffusion-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for name in (
        "app/paint.js",
        "app/paint.html",
        "app/page.css",
        "weights/natural-64.safetensors",
    ):
        assert f"deft/{name}" in held
    assert not [name for name in held if name.startswith(("tests/", "docs/"))]
    venv.create(home / "venv", with_pip=True)
    python = home / "venv" / "bin" / "python"
    pinned = ["-c", str(ROOT / "constraints.txt")]
    _, installed = run([python, "-m", "pip", "install", *quiet, *pinned, wheel], home, clean)
    size = wheel.stat().st_size / 1e6
    print(f"\n{size:.1f} MB, built in {built}, installed in {installed}")
    return python, {**clean, "HF_HUB_OFFLINE": "1"}


def photograph():
    """A crop of a photograph, (64, 64, 3), and what is measured of it: noise of the level that h
    was trained for, and a hole.
    """
    crop = photographs.crops(photographs.TEST, 1, (3, 64, 64), seed=3, smallest=0.5)[0]
    noisy = crop + 0.05 * np.random.default_rng(0).normal(size=crop.shape).astype(np.float32)
    mask = np.full((64, 64), 255, np.uint8)
    mask[20:34, 12:44] = 0
    clean, seen = (to_uint8(one, (-1.0, 1.0)).numpy().transpose(1, 2, 0) for one in (crop, noisy))
    return clean, np.where(mask[..., None] > 0, seen, 0).astype(np.uint8), mask


def test_five_lines_restore_a_photograph(environment, tmp_path):
    python, env = environment
    clean, seen, mask = photograph()
    here, there = tmp_path / "here", tmp_path / "there"
    deft.load("h-natural-64-inpainting").save_pretrained(here / "folder", sheet=False)
    there.mkdir()
    for folder in (here, there):
        Image.fromarray(seen).save(folder / "photograph.png")
        Image.fromarray(mask).save(folder / "mask.png")
    assert len(LINES.strip().splitlines()) == 5
    _, seconds = run([python, "-c", LINES], here, env)
    print(f"five lines, from the first import to the restored picture: {seconds}")
    with Image.open(here / "restored.png") as image:
        restored = np.asarray(image).astype(float)
    hole = mask == 0
    around = seen[~hole].mean(0)
    error = np.sqrt(((restored - clean)[hole] ** 2).mean())
    plain = np.sqrt(((around - clean)[hole] ** 2).mean())
    print(f"error in the hole {error:.1f} grey levels; {plain:.1f} with the mean around it")
    assert error < plain
    said, _ = run([python, "-c", LINES + AND_SAVE], here, env)
    assert str(ROOT) not in said.splitlines()[0], "this is not the wheel"
    print(said.splitlines()[-1])
    shutil.move(here / "saved", there / "moved")
    shutil.rmtree(here / "folder")
    run([python, "-c", ELSEWHERE], there, env)
    first, second = (np.load(folder / "samples.npy") for folder in (here, there))
    assert first.shape == (1, 8, 3, 64, 64)
    assert np.isfinite(first).all()
    np.testing.assert_allclose(second, first, rtol=0, atol=1e-6)


def test_the_command_is_there(environment, tmp_path):
    python, env = environment
    said, _ = run([python.parent / "deft", "--version"], tmp_path, env)
    assert said.startswith(f"deft {deft.__version__}")
    named, _ = run([python.parent / "deft", "list", "--kind", "h-transforms"], tmp_path, env)
    assert "h-natural-64-inpainting" in named
    lacking = subprocess.run(
        [python.parent / "deft", "app", "--open_page", "false", "--port", "0"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert lacking.returncode == 2
    assert "deft-diffusion[app]" in lacking.stderr
    assert "Traceback" not in lacking.stderr
