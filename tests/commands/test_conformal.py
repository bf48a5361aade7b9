"""`deft conformal`, and what `deft sample`, `deft evaluate` and `deft inspect` make of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deft as library
from tests.commands.conftest import save_images

FEW = ["--samples", "3", "--steps", "2"]
UNSURE = ["--threshold", "0.001"]  # of a prior that has learned nothing


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_images(tmp_path_factory.mktemp("calibration"), 10, seed=7)


@pytest.fixture
def calibrated(deft, run_folder: Path, photographs: Path, tmp_path: Path) -> Path:
    out = tmp_path / "calibrated"
    command = ["conformal", "--h", run_folder, "--images", photographs, "--out", out]
    code, said, wrong = deft(*command, *FEW, *UNSURE)
    assert code == 0, wrong
    assert "90 % intervals, calibrated on 10 images, for 2 to 3 samples" in said
    assert "on average over such images, not for this one" in said
    return out


def test_it_is_kept_with_h(deft, calibrated: Path, run_folder: Path) -> None:
    before, after = library.load(run_folder, allow=()), library.load(calibrated)
    assert before.intervals is None
    assert after.intervals.samples == 3
    assert after.intervals.about.unit == "image"
    for a, b in zip(before.h.parameters(), after.h.parameters(), strict=True):
        assert a.equal(b)
    said = deft("inspect", calibrated)[1]
    assert "functionals" in said
    assert "verified" in said


def test_samples_have_intervals(deft, calibrated: Path, image_folder: str, tmp_path: Path) -> None:
    common = ["sample", "--h", calibrated, "--images", image_folder, "--limit", "2"]
    code, said, wrong = deft(*common, *FEW, "--out", tmp_path / "s")
    assert code == 0, wrong
    assert "calibrated on 10 images; they hold on average over such images" in said
    assert "uncertain pixels whose interval holds the truth" in said
    with np.load(tmp_path / "s" / "00.npz") as z:
        assert set(z.files) == {"samples", "mean", "std", "y", "truth", "low", "high"}
        known = np.isfinite(z["low"])
        assert known.any()
        assert (z["low"] <= z["high"])[known].all()
        assert z["low"][known].min() >= -1
        middle, inner = (z["low"] + z["high"]) / 2, known & (z["low"] > -1) & (z["high"] < 1)
        assert np.allclose(middle[inner], z["mean"][inner], atol=1e-5)
    assert Image.open(tmp_path / "s" / "01-interval.png").width >= 16
    assert "2 of 2 images are done already" in deft(*common, *FEW, "--out", tmp_path / "s")[1]


def test_where_they_do_not_hold_there_are_none(
    deft, calibrated: Path, image_folder: str, tmp_path: Path
) -> None:
    common = ["sample", "--h", calibrated, "--images", image_folder, "--limit", "1"]
    for name, options, why in (
        ("steps", ["--samples", "3", "--steps", "3"], "calibrated for DPMSolver(steps=2)"),
        ("one", ["--samples", "1", "--steps", "2"], "a deviation needs two samples"),
    ):
        code, _, said = deft(*common, *options, "--out", tmp_path / name)
        assert code == 0, said
        assert f"no intervals are given: {why}" in " ".join(said.replace("they were ", "").split())
        with np.load(tmp_path / name / "00.npz") as z:
            assert "low" not in z.files
    code, _, said = deft(*common, "--samples", "4", "--steps", "2", "--out", tmp_path / "more")
    assert code == 0
    assert "those of the first 3 of 4" in said


def test_measurements_of_another_noise_or_with_masks_are_doubted(
    deft, calibrated: Path, tmp_path: Path
) -> None:
    measured = save_images(tmp_path / "y", 1)
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    common = ["sample", "--h", calibrated, "--measurements", measured, *FEW]
    common += ["--masks", tmp_path / "mask.png"]
    said = deft(*common, "--out", tmp_path / "a")[2]
    assert "the masks are yours" in said
    assert (tmp_path / "a" / "00-interval.png").exists()
    said = deft(*common, "--sigma_y", "0.2", "--out", tmp_path / "b")[2]
    assert "calibrated for sigma_y = 0.05, and it is 0.2" in said
    assert not (tmp_path / "b" / "00-interval.png").exists()


def test_an_evaluation_shows_before_and_after(
    deft, calibrated: Path, image_folder: str, prior_file: str, tmp_path: Path
) -> None:
    sampler = "{class_path: DPMSolver, init_args: {steps: 2}}"
    arguments = f"{{checkpoint: {calibrated}, sampler: {sampler}}}"
    (tmp_path / "e.yaml").write_text(
        f"methods: {{DEFT: {{class_path: DEFT, init_args: {arguments}}}}}"
    )
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    given = ["--config", tmp_path / "e.yaml", "--prior", prior_file, "--images", image_folder]
    code, said, wrong = deft(
        "evaluate", *given, *problem, "--samples", "3", "--out", tmp_path / "e"
    )
    assert code == 0, wrong
    assert "DEFT (90 %, unseen)" in said
    page = (tmp_path / "e" / "report.html").read_text()
    assert "Intervals that hold on average" in page
    assert "not for this one" in page
    assert "image 1, DEFT, half-width" in page


def test_a_functional_has_an_interval_of_its_own(
    deft, run_folder: Path, photographs: Path, image_folder: str, tmp_path: Path
) -> None:
    weights = np.zeros((2, 1, 16, 16), np.float32)
    weights[0, :, :8] = 1 / 128  # the mean over the upper half
    weights[1, 0, 8, 8] = 1
    np.save(tmp_path / "w.npy", weights)
    own = ["--functionals", tmp_path / "w.npy"]
    common = ["conformal", "--h", run_folder, "--images", photographs, "--out", tmp_path / "c"]
    code, said, wrong = deft(*common, *FEW, *own)
    assert code == 0, wrong
    assert "functional 1" in said
    given = ["sample", "--h", tmp_path / "c", "--images", image_folder, "--limit", "1", *FEW]
    code, _, wrong = deft(*given, *own, "--out", tmp_path / "s")
    assert code == 0, wrong
    with np.load(tmp_path / "s" / "00.npz") as z:
        assert z["functional_mean"][0] == pytest.approx(z["mean"][:, :8].mean(), abs=1e-5)
        assert z["functional_mean"][1] == pytest.approx(z["mean"][0, 8, 8], abs=1e-5)
        assert (z["functional_low"] < z["functional_high"]).all()


def test_folders_are_patients(deft, run_folder: Path, photographs: Path, tmp_path: Path) -> None:
    for k, file in enumerate(sorted(photographs.iterdir())):
        folder = tmp_path / "by" / f"{k % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    common = ["conformal", "--h", run_folder, "--images", tmp_path / "by", *FEW]
    common += ["--groups", "folders", "--out", tmp_path / "c"]
    code, _, said = deft(*common)
    assert code == 2
    assert "--groups: got 5 folders; expected at least 9" in said
    code, said, _ = deft(*common, "--level", "0.8")
    assert code == 0
    assert "10 images of 5 folders" in said


def test_another_h_is_not_written_over(deft, run_folder: Path, photographs: Path) -> None:
    code, _, said = deft(
        "conformal", "--h", run_folder, "--images", photographs, "--out", run_folder, *FEW
    )
    assert code == 2
    assert "the folder of --h itself" in said
