"""`deft sample` of k-space: coils and their sensitivities, conventions, masks and units."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from deft import DeftPipeline
from deft.priors import zoo
from tests.commands.conftest import tiny_prior
from tests.pipeline.scans import LINES, SIZE, TRANSFORMS, image, k_space, maps, stored

PAGE = (Path(__file__).parents[2] / "docs" / "mri.md").read_text().split("## Volumes")[0]
FEW = ["--samples", "2", "--steps", "10"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scans")
    zoo.save(root / "complex.safetensors", tiny_prior(shape=(2, SIZE, SIZE)), {"data": "none"})
    np.save(root / "images.npy", np.stack([image(seed=i) for i in range(6)]))
    np.save(root / "maps.npy", maps())
    np.save(root / "lines.npy", LINES)
    return root


@pytest.fixture(scope="module")
def trained(world: Path) -> Path:
    """An h-transform of two steps, on complex images and four coils of the problem's own."""
    from deft.cli import main

    given = ["train", "--prior", world / "complex.safetensors", "--images", world / "images.npy"]
    given += ["--problem", "MultiCoilMRI", "--problem.sigma_y", "0.01", "--out", world / "run"]
    given += ["--steps", "2", "--batch_size", "2", "--validation_share", "0"]
    assert main([str(part) for part in given]) == 0
    return world / "run"


def drawn(folder: Path, name: str = "00000") -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz") as z:
        return dict(z)


def far(found: dict[str, np.ndarray]) -> float:
    """How far the mean is from the image, of magnitudes up to 1."""
    mean = found["mean"]
    return float(np.abs(mean[0] + 1j * mean[1] - image()).max())


@pytest.mark.parametrize("fft", TRANSFORMS)
def test_a_scan_in_every_convention(deft, world, trained, tmp_path, fft):
    np.save(tmp_path / "k.npy", k_space(fft, noise=0.01))
    given = ["sample", "--h", trained, "--measurements", tmp_path / "k.npy", *FEW]
    given += ["--sensitivities", world / "maps.npy"]
    code, said, wrong = deft(*given, "--fft", fft, "--out", tmp_path / "s")
    assert code == 0, wrong
    assert "measured is what is not exactly 0 in --measurements: 62 % of the frequencies" in said
    found = drawn(tmp_path / "s")
    assert found["samples"].shape == (2, 2, SIZE, SIZE)
    assert found["y"].shape == (2, 6, SIZE, SIZE)
    assert far(found) < 0.1
    if fft != "centred":
        code, _, wrong = deft(*given, "--out", tmp_path / "t")
        assert code == 2
        assert f"--fft {fft}" in wrong
    if fft == "shifted":
        code, _, wrong = deft(*given, "--fft", "centred", "--out", tmp_path / "u")
        assert code == 0
        assert "it looks more like k = fftshift(fft2(x))" in wrong


def test_lines_of_a_whole_scan_in_units_of_its_own(deft, world, trained, tmp_path):
    """k-space of all lines, of which some are taken; an npz file of several arrays."""
    k = 2e-4 * k_space(noise=0.01, lines=None)
    np.savez(tmp_path / "scan.npz", kspace=k, other=k)
    given = ["sample", "--h", trained, "--measurements", tmp_path / "scan.npz", *FEW]
    given += ["--key", "kspace", "--sensitivities", world / "maps.npy"]
    given += ["--masks", world / "lines.npy", "--out", tmp_path / "s"]
    code, _, wrong = deft(*given)
    assert code == 2
    assert "k-space of images with magnitudes up to" in wrong
    code, said, wrong = deft(*given, "--value_range", "[-2e-4,2e-4]", "--sigma_y", "0.01")
    assert code == 0, wrong
    assert "observed by the masks: 62 % of the places" in said
    assert far(drawn(tmp_path / "s")) < 0.1


def test_a_folder_of_scans_with_masks_of_their_own(deft, world, trained, tmp_path):
    other = np.roll(LINES, 1)
    for name, lines in (("a", LINES), ("b", other)):
        for folder, array in (("k", k_space(noise=0.01, lines=None)), ("m", lines)):
            (tmp_path / folder).mkdir(exist_ok=True)
            np.save(tmp_path / folder / f"{name}.npy", array)
    given = ["sample", "--h", trained, "--measurements", tmp_path / "k", "--masks", tmp_path / "m"]
    given += ["--sensitivities", world / "maps.npy", *FEW, "--out", tmp_path / "s"]
    code, _, wrong = deft(*given)
    assert code == 0, wrong
    for name, lines in (("a", LINES), ("b", other)):
        y = drawn(tmp_path / "s", name)["y"]
        assert np.array_equal((y != 0).any((0, 1, 2)), lines)


def test_the_noise_of_each_entry(deft, world, trained, tmp_path):
    np.save(tmp_path / "k.npy", k_space(noise=0.01))
    np.save(tmp_path / "sigma.npy", np.full((2, 6, SIZE, SIZE), 0.01, np.float32))
    given = ["sample", "--h", trained, "--measurements", tmp_path / "k.npy", *FEW]
    given += ["--sensitivities", world / "maps.npy", "--masks", world / "lines.npy"]
    code, _, wrong = deft(*given, "--sigma_y", tmp_path / "sigma.npy", "--out", tmp_path / "s")
    assert code == 0, wrong
    found = drawn(tmp_path / "s")
    code, _, wrong = deft(*given, "--sigma_y", "0.01", "--out", tmp_path / "t")
    assert code == 0, wrong
    same = drawn(tmp_path / "t")
    np.testing.assert_allclose(found["y"], same["y"], atol=1e-5)
    np.testing.assert_allclose(found["samples"], same["samples"], atol=1e-2)


def test_a_single_coil_by_a_method_that_is_not_learned(deft, world, tmp_path):
    np.save(tmp_path / "k.npy", TRANSFORMS["plain"](image()) * stored(LINES, "plain"))
    given = ["sample", "--prior", world / "complex.safetensors", "--problem", "MRI"]
    given += ["--problem.sigma_y", "0.01", "--method", "DDNMPlus", "--method.steps", "10"]
    given += ["--measurements", tmp_path / "k.npy", "--samples", "2"]
    code, _, wrong = deft(*given, "--fft", "plain", "--out", tmp_path / "s")
    assert code == 0, wrong
    y = drawn(tmp_path / "s")["y"]
    centred = TRANSFORMS["centred"](image()) * LINES
    np.testing.assert_allclose(y[0] + 1j * y[1], centred, atol=1e-6)


@pytest.mark.parametrize(
    ("h", "coils", "code", "says"),
    [
        ("run", 3, 0, ""),
        ("any", 3, 0, ""),
        ("single", 3, 2, "the problem MRI has a single coil"),
        ("single", 0, 0, ""),
        ("run", 0, 2, "say the problem MRI"),
    ],
)
def test_which_h_takes_what(deft, world, trained, tmp_path, h, coils, code, says):
    """One for several coils takes any number; one for any operator both; one for MRI one coil."""
    run = world / h
    if not run.exists():
        given = ["train", "--prior", world / "complex.safetensors", "--out", run]
        given += ["--images", world / "images.npy", "--steps", "2", "--batch_size", "2"]
        kind = {"any": ["--operators", "any", "--problem", "Denoising"]}
        given += ["--validation_share", "0", *kind.get(h, ["--problem", "MRI"])]
        assert deft(*given, "--problem.sigma_y", "0.01")[0] == 0
    k = k_space(noise=0.01, coils=coils or 1)
    if not coils:  # one that sees everything
        k = TRANSFORMS["centred"](image()) + 0.01 * np.random.default_rng(0).standard_normal(SIZE)
    np.save(tmp_path / "k.npy", k)
    given = ["sample", "--h", run, "--measurements", tmp_path / "k.npy", *FEW]
    if coils:
        np.save(tmp_path / "maps.npy", maps(coils=coils))
        given += ["--sensitivities", tmp_path / "maps.npy"]
    if h == "any":
        given += ["--problem", "MultiCoilMRI", "--problem.sigma_y", "0.01"]
    found, _, wrong = deft(*given, "--out", tmp_path / "s")
    assert found == code, wrong
    assert says in wrong
    if not code:
        assert far(drawn(tmp_path / "s")) < 0.15


def test_the_lines_of_the_page(deft, world, tmp_path, monkeypatch):
    """The commands and the call of docs/mri.md run as they stand, but for what would take long."""
    monkeypatch.chdir(tmp_path)
    for name in ("images.npy", "maps.npy"):
        np.save(name, np.load(world / name))
    np.save("kspace.npy", k_space(noise=0.01))
    commands = re.findall(r"^    deft (.+)$", PAGE, re.M)
    assert [line.split()[0] for line in commands] == ["sample", "train"]
    short = " --steps 2 --batch_size 2 --validation_share 0"
    trained = commands[1].replace("PRIOR", str(world / "complex.safetensors")) + short
    for line in (trained, commands[0] + " --steps 2 --samples 1"):
        code, _, wrong = deft(*shlex.split(line))
        assert code == 0, wrong
    pipe = DeftPipeline.from_pretrained("run")
    names = {"pipe": pipe, "kspace": np.load("kspace.npy"), "maps": maps(), "lines": LINES}
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(block, names)
    assert names["answers"].samples.shape[2:] == (2, SIZE, SIZE)
