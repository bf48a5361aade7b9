"""`deft sample` of pictures larger than the prior."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.commands import tiled_drawing
from tests.commands.conftest import save_images

FEW = ["--samples", "2", "--steps", "2"]


def mixed(folder: Path) -> Path:
    """Three pictures, of two sizes that are larger than the prior's, and of its own."""
    for number, (height, width) in enumerate(((24, 40), (16, 16), (33, 20))):
        ramp = np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
        folder.mkdir(exist_ok=True)
        Image.fromarray(ramp).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def common(run_folder: Path, tmp_path: Path) -> list[object]:
    return ["sample", "--h", run_folder, "--out", tmp_path / "s", *FEW]


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as kept:
        return dict(kept)


def test_each_picture_is_drawn_in_its_own_size(deft, common, tmp_path: Path) -> None:
    code, printed, said = deft(*common, "--images", mixed(tmp_path / "x"))
    assert code == 0, said
    assert said.count("an approximation") == 1
    assert "3 images x 2 samples" in printed
    for number, size in enumerate(((24, 40), (16, 16), (33, 20))):
        kept = arrays(tmp_path / "s" / f"{number:02d}.npz")
        assert kept["samples"].shape == (2, 1, *size)
        assert kept["y"].shape == kept["truth"].shape == (1, *size)
        assert bool((kept["samples"][0] != kept["samples"][1]).any())
        assert Image.open(tmp_path / "s" / f"{number:02d}-mean.png").size == size[::-1]
    assert not (tmp_path / "s" / "parts").exists()
    fixed = [*common, "--layout", "fixed", "--images", tmp_path / "x"]
    fixed[fixed.index(tmp_path / "s")] = tmp_path / "t"
    assert deft(*fixed)[0] == 0
    for number, same in enumerate((False, True, False)):
        a, b = (arrays(tmp_path / name / f"{number:02d}.npz") for name in ("s", "t"))
        assert np.allclose(a["samples"], b["samples"]) == same


def test_it_goes_on_and_batches_change_nothing(
    deft, common, tmp_path: Path, monkeypatch, run_folder: Path
) -> None:
    pictures = mixed(tmp_path / "x")
    write, count = tiled_drawing.write_npz, [0]

    def once(*given: object) -> None:
        write(*given)
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tiled_drawing, "write_npz", once)
    code, _, said = deft(*common, "--images", pictures)
    assert code == 130
    assert "of 6 samples are in" in said
    assert len(list((tmp_path / "s" / "parts").iterdir())) == 1
    monkeypatch.undo()
    assert deft(*common, "--images", pictures, "--batch_size", "3")[0] == 0
    at_once = ["sample", "--h", run_folder, "--out", tmp_path / "t", *FEW, "--images", pictures]
    assert deft(*at_once)[0] == 0
    for number in range(3):
        a, b = (arrays(tmp_path / name / f"{number:02d}.npz") for name in ("s", "t"))
        assert np.allclose(a["samples"], b["samples"], atol=1e-5)
    written = (tmp_path / "s" / "00.npz").stat().st_mtime_ns
    assert deft(*common, "--images", pictures)[0] == 0
    assert (tmp_path / "s" / "00.npz").stat().st_mtime_ns == written


def test_measurements_of_large_pictures(deft, common, tmp_path: Path) -> None:
    measured = mixed(tmp_path / "y")
    masks = tmp_path / "masks"
    masks.mkdir()
    for file in measured.iterdir():
        width, height = Image.open(file).size
        mask = np.full((height, width), 255, np.uint8)
        mask[:, :5] = 0
        Image.fromarray(mask).save(masks / file.name)
    given = [*common, "--measurements", measured, "--value_range", "[0,1]"]
    code, _, said = deft(*common, "--measurements", measured, "--masks", masks)
    assert code == 0, said
    assert arrays(tmp_path / "s" / "02.npz")["samples"].shape == (2, 1, 33, 20)
    (masks / "02.png").unlink()
    code, _, said = deft(*given[:-2], "--masks", masks)
    assert code == 2
    assert "no mask for the measurement 02" in said


def test_small_measurements_make_large_pictures(deft, prior_file: str, tmp_path: Path) -> None:
    y = np.random.default_rng(0).uniform(-1, 1, (2, 1, 10, 6)).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    code, _, said = deft(
        *("sample", "--prior", prior_file, "--method", "DDNMPlus", "--method.steps", "2"),
        *("--problem", "SuperResolution", "--problem.factor", "4", "--problem.sigma_y", "0.05"),
        *("--measurements", tmp_path / "y.npy", "--out", tmp_path / "s", "--samples", "1"),
    )
    assert code == 0, said
    assert arrays(tmp_path / "s" / "00001.npz")["samples"].shape == (1, 1, 40, 24)


def test_off_and_fit_are_as_before(deft, common, tmp_path: Path) -> None:
    large = save_images(tmp_path / "large", 1, (32, 32))
    code, _, said = deft(*common, "--images", large, "--tile", "off")
    assert code == 2
    assert "use --fit resize" in said
    assert deft(*common, "--images", large, "--fit", "resize")[0] == 0
    assert arrays(tmp_path / "s" / "00.npz")["samples"].shape == (2, 1, 16, 16)


def test_a_picture_that_is_smaller_is_refused(deft, common, tmp_path: Path) -> None:
    save_images(tmp_path / "x", 1, (8, 40))
    code, _, said = deft(*common, "--images", tmp_path / "x")
    assert code == 2
    assert "8 x 40" in said
    assert "--fit resize" in said


def test_particles_are_refused(deft, prior_file: str, tmp_path: Path) -> None:
    large = save_images(tmp_path / "large", 1, (20, 20))
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    code, _, said = deft(
        *("sample", "--prior", prior_file, "--method", "TwistedSMC", *problem),
        *("--images", large, "--out", tmp_path / "s", "--samples", "1"),
    )
    assert code == 2
    assert "one sample at a time" in said
