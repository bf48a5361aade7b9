"""`deft sample`: from images and from measurements, what it writes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.priors import zoo
from tests.commands.conftest import save_images, tiny_prior

TWO = ["--samples", "2"]
FEW = [*TWO, "--steps", "2"]


def test_images_are_measured_first(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    code, _, said = deft(
        "sample",
        "--h",
        run_folder / "h.safetensors",
        "--images",
        image_folder,
        "--limit",
        "2",
        "--out",
        tmp_path / "s",
        *FEW,
    )
    assert code == 0, said
    with np.load(tmp_path / "s" / "00.npz") as z:
        assert z["samples"].shape == (2, 1, 16, 16)
        assert np.allclose(z["mean"], z["samples"].mean(0), atol=1e-6)
        assert np.allclose(z["std"], z["samples"].std(0, ddof=1), atol=1e-5)
        assert set(z.files) == {"samples", "mean", "std", "y", "truth"}
    for kind in ("mean", "std", "samples"):
        assert Image.open(tmp_path / "s" / f"01-{kind}.png").width >= 16


def test_a_run_folder_will_do_and_a_file_in_the_way_is_named(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    common = ["sample", "--h", run_folder, "--images", image_folder, "--limit", "1", *FEW]
    assert deft(*common, "--out", tmp_path / "s")[0] == 0
    (tmp_path / "file").write_text("")
    code, _, said = deft(*common, "--out", tmp_path / "file")
    assert code == 2
    assert "file" in said
    assert "Traceback" not in said


def test_what_ships_is_found_by_its_name(deft, tmp_path: Path) -> None:
    save_images(tmp_path / "digits", 1, (32, 32))
    given = [
        "sample",
        "--images",
        tmp_path / "digits",
        "--out",
        tmp_path / "out",
        "--samples",
        "2",
        "--steps",
        "2",
    ]
    code, _, said = deft(*given, "--h", "h-digits-32-box")
    assert code == 0, said
    assert (tmp_path / "out" / "config.yaml").exists()
    code, _, said = deft(*given, "--h", "h-digits-32-bix")
    assert code == 2
    assert "did you mean h-digits-32-box" in said


def test_a_sample_depends_on_its_seed_alone(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    common = ["sample", "--h", run_folder / "h.safetensors", "--images", image_folder, *FEW]
    assert deft(*common, "--limit", "1", "--out", tmp_path / "a")[0] == 0
    assert deft(*common, "--limit", "3", "--batch-size", "1", "--out", tmp_path / "b")[0] == 0
    with np.load(tmp_path / "a" / "00.npz") as a, np.load(tmp_path / "b" / "00.npz") as b:
        assert np.allclose(a["samples"], b["samples"], atol=1e-5)  # sums in another order


def test_it_goes_on_and_refuses_other_settings(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    common = [
        "sample",
        "--h",
        run_folder / "h.safetensors",
        "--images",
        image_folder,
        "--out",
        tmp_path / "s",
        *FEW,
    ]
    assert deft(*common, "--limit", "1")[0] == 0
    written = (tmp_path / "s" / "00.npz").stat().st_mtime_ns
    code, said, _ = deft(*common, "--limit", "2")
    assert code == 0
    assert "1 of 2 images are done already" in said
    assert (tmp_path / "s" / "00.npz").stat().st_mtime_ns == written
    code, _, said = deft(*common, "--limit", "2", "--seed", "1")
    assert code == 2
    assert "seed: 0 before, 1 now" in said


def test_measurements_with_masks(deft, run_folder: Path, tmp_path: Path) -> None:
    measured = save_images(tmp_path / "y", 2)
    (tmp_path / "masks").mkdir()
    for i in range(2):
        mask = np.full((16, 16), 255, np.uint8)
        mask[:, : 4 * (i + 1)] = 0
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i:02d}.png")
    common = [
        "sample",
        "--h",
        run_folder / "h.safetensors",
        "--measurements",
        measured,
        "--out",
        tmp_path / "s",
        *FEW,
    ]
    code, _, said = deft(*common, "--masks", tmp_path / "masks")
    assert code == 0, said
    with np.load(tmp_path / "s" / "01.npz") as z:
        assert not z["y"][:, :, :8].any()
        assert "truth" not in z.files


def test_a_problem_that_draws_masks_asks_for_them(deft, prior_file: str, tmp_path: Path) -> None:
    measured = save_images(tmp_path / "y", 1)
    method = ["--method", "Unconditional", "--prior", prior_file, "--problem", "Inpainting"]
    code, _, said = deft(
        "sample", *method, "--measurements", measured, "--out", tmp_path / "s", *TWO
    )
    assert code == 2
    assert "--masks" in said


@pytest.mark.parametrize("suffix", ["npy", "png"])
def test_measurements_of_super_resolution(
    deft, prior_file: str, tmp_path: Path, suffix: str
) -> None:
    if suffix == "npy":
        np.save(tmp_path / "y.npy", np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4))
    measured = (
        tmp_path / "y.npy" if suffix == "npy" else save_images(tmp_path / "y", 2, size=(4, 4))
    )
    method = [
        "--method",
        "DDNMPlus",
        "--method.steps",
        "2",
        "--prior",
        prior_file,
        "--problem",
        "SuperResolution",
        "--sigma_y",
        "0.1",
    ]
    code, _, said = deft(
        "sample", *method, "--measurements", measured, "--out", tmp_path / "s", *TWO
    )
    assert code == 0, said


def test_what_does_not_fit_is_refused(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    h = ["--h", run_folder / "h.safetensors", "--out", tmp_path / "s", *FEW]
    assert "either --h" in deft("sample", "--images", image_folder, "--out", tmp_path / "s")[2]
    assert "either --measurements" in deft("sample", *h)[2]
    small = save_images(tmp_path / "small", 1, size=(8, 8))
    mask = tmp_path / "mask.png"
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(mask)
    assert "shape (1, 8, 8)" in deft("sample", *h, "--measurements", small, "--masks", mask)[2]
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save(mask)
    right = save_images(tmp_path / "right", 1)
    assert "9 x 9" in deft("sample", *h, "--measurements", right, "--masks", mask)[2]
    other = save_images(tmp_path / "other", 1)
    (other / "00.png").rename(other / "07.png")
    assert "there is no mask" in deft("sample", *h, "--measurements", right, "--masks", other)[2]
    assert (
        ">= 0"
        in deft("sample", *h, "--measurements", save_images(tmp_path / "y", 1), "--sigma_y", "-1")[
            2
        ]
    )
    assert "from 1 to" in deft("sample", *h, "--images", image_folder, "--samples", "0")[2]
    assert "--limit: got -1" in deft("sample", *h, "--images", image_folder, "--limit", "-1")[2]
    broken = np.zeros((2, 1, 16, 16), np.float32)
    broken[1, 0, 3, 4] = np.nan
    np.save(tmp_path / "broken.npy", broken)
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(mask)
    said = deft(
        "sample",
        *h,
        "--measurements",
        tmp_path / "broken.npy",
        "--masks",
        mask,
        "--value_range",
        "[-1,1]",
    )[2]
    assert "the measurement 00001 holds NaN or infinite values" in said


def read_y(folder: Path) -> np.ndarray:
    """What was taken as measured, of every signal."""
    found = []
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as z:
            found.append(z["y"])
    return np.stack(found)


@pytest.fixture
def average(deft, prior_file: str, tmp_path: Path):
    """`deft sample` for averages over 4 x 4 blocks, without noise."""
    method = [
        "--method",
        "DDNMPlus",
        "--method.steps",
        "2",
        "--prior",
        prior_file,
        "--problem",
        "SuperResolution",
    ]
    return lambda measured, *more: deft(
        "sample", *method, "--measurements", measured, "--out", tmp_path / "s", *TWO, *more
    )


@pytest.mark.parametrize(
    ("scale", "offset", "option", "expected"),
    [
        (255.0, 0.0, [], "[0, 255]"),
        (1.0, 0.0, [], "[0, 1]"),
        (1.0, 0.0, ["--value_range", "[0,1]"], None),
        (255.0, 0.0, ["--value_range", "[0,255]"], None),
        (2.0, -1.0, [], None),
        (2.0, -1.0, ["--value_range", "[-1,1]"], None),
    ],
)
def test_measurements_are_converted_on_request_only(
    average, tmp_path: Path, scale: float, offset: float, option: list[str], expected
) -> None:
    y = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4)
    np.save(tmp_path / "y.npy", scale * y + offset)
    code, _, said = average(tmp_path / "y.npy", *option)
    if expected is not None:
        assert code == 2
        assert expected in said
        assert f"--value_range {expected.replace(' ', '')} converts" in said
        return
    assert code == 0, said
    assert np.allclose(read_y(tmp_path / "s"), 2 * y - 1, atol=1e-6)


def test_whole_numbers_and_images_run_over_their_type(average, tmp_path: Path) -> None:
    y = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4)
    (tmp_path / "y").mkdir()
    np.save(tmp_path / "y" / "0.npy", y[0])
    Image.fromarray(y[1, 0]).save(tmp_path / "y" / "1.png")
    code, _, said = average(tmp_path / "y")
    assert code == 0, said
    assert np.allclose(read_y(tmp_path / "s"), y / 127.5 - 1, atol=1e-6)


def test_colours_of_a_measurement_are_converted_on_request_only(average, tmp_path: Path) -> None:
    measured = save_images(tmp_path / "y", 1, size=(4, 4), colour=True)
    code, _, said = average(measured)
    assert code == 2
    assert "mode RGB" in said
    assert "--convert grey" in said
    assert average(measured, "--convert", "grey")[0] == 0


def test_a_truncated_measurement_is_skipped_with_a_count_or_fatal(average, tmp_path: Path) -> None:
    measured = save_images(tmp_path / "y", 3, size=(4, 4))
    (measured / "01.png").write_bytes((measured / "01.png").read_bytes()[:40])
    code, _, said = average(measured, "--strict")
    assert code == 2
    assert "01.png" in said
    code, _, said = average(measured)
    assert code == 0
    assert "skipped 1 of 3" in said
    assert sorted(f.stem for f in (tmp_path / "s").glob("*.npz")) == ["00", "02"]


def test_two_files_of_one_name_have_results_of_their_own(average, tmp_path: Path) -> None:
    measured = save_images(tmp_path / "y", 1, size=(4, 4))
    np.save(measured / "00.npy", np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4))
    assert average(measured)[0] == 0
    assert sorted(f.stem for f in (tmp_path / "s").glob("*.npz")) == ["00-npy", "00-png"]
    np.save(measured / "00-npy.npy", np.zeros((1, 4, 4), np.float32))
    code, _, said = average(measured)
    assert code == 2
    assert "rename one" in said


def test_a_checkpoint_for_another_prior_or_problem(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    zoo.save(tmp_path / "other.safetensors", tiny_prior(seed=1, name="other"))
    h = [
        "--h",
        run_folder / "h.safetensors",
        "--images",
        image_folder,
        "--out",
        tmp_path / "s",
        *FEW,
    ]
    code, _, said = deft("sample", *h, "--prior", tmp_path / "other.safetensors")
    assert code == 2
    assert "tiny" in said
    assert "other" in said
    code, _, said = deft("sample", *h, "--problem", "SuperResolution")
    assert code == 2
    assert "Inpainting" in said
    assert "SuperResolution" in said


def test_a_truncated_or_foreign_checkpoint(
    deft, run_folder: Path, image_folder: str, tmp_path: Path
) -> None:
    whole = (run_folder / "h.safetensors").read_bytes()
    broken = tmp_path / "h.safetensors"
    for content in (
        whole[: len(whole) // 2],
        whole[:100],
        b"",
        b"PK\x03\x04 a zip file",
        b"some text, no weights",
    ):
        broken.write_bytes(content)
        code, _, said = deft(
            "sample", "--h", broken, "--images", image_folder, "--out", tmp_path / "s", *FEW
        )
        assert code == 2
        assert "h.safetensors" in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((8, 23), np.float32), "y[None]"),
        (np.zeros((23, 8), np.float32), "y.T[None]"),
        (np.zeros((2, 23, 8), np.float32), "Swap its last two axes"),
        (np.zeros((2, 1, 23, 8), np.float32), "Swap its last two axes"),
    ],
)
def test_a_sinogram_in_other_axes_is_told_which(
    deft, prior_file: str, tmp_path: Path, array: np.ndarray, advice: str
) -> None:
    np.save(tmp_path / "y.npy", array)
    problem = ["--problem", "Tomography", "--problem.views", "8", "--problem.sigma_y", "0.1"]
    given = [
        "--method",
        "DPS",
        "--prior",
        prior_file,
        *problem,
        "--measurements",
        tmp_path / "y.npy",
        "--out",
        tmp_path / "s",
    ]
    code, _, said = deft("sample", *given)
    assert code == 2
    assert advice in said


def test_one_channel_may_be_left_out(deft, prior_file: str, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros((2, 16, 16), np.float32))
    given = [
        "--method",
        "DPS",
        "--method.steps",
        "2",
        "--prior",
        prior_file,
        "--problem",
        "Denoising",
        "--problem.sigma_y",
        "0.1",
    ]
    code, _, said = deft(
        "sample",
        *given,
        "--measurements",
        tmp_path / "y.npy",
        "--value_range",
        "[-1,1]",
        "--out",
        tmp_path / "s",
        "--samples",
        "1",
    )
    assert code == 0, said
    with np.load(tmp_path / "s" / "00000.npz") as z:
        assert z["y"].shape == (1, 16, 16)


def test_the_share_that_masks_show_is_said(deft, run_folder: Path, tmp_path: Path) -> None:
    half = np.zeros((16, 16), np.uint8)
    half[:4] = 255
    Image.fromarray(half).save(tmp_path / "mask.png")
    given = [
        "--h",
        run_folder,
        "--measurements",
        save_images(tmp_path / "y", 1),
        "--masks",
        tmp_path / "mask.png",
        "--out",
        tmp_path / "s",
        *FEW,
    ]
    code, said, wrong = deft("sample", *given)
    assert code == 0, wrong
    assert "observed by the masks: 25 % of the places" in said
