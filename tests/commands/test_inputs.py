"""CT slices on the command line: DICOM series, LoDoPaB-CT and arrays in Hounsfield units."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deft.commands import inputs
from deft.commands.measurements import observation
from deft.data import Slices
from deft.errors import InvalidInput
from deft.problems import Denoising, Tomography
from tests.commands.conftest import tiny_prior
from tests.data.slices import stack, write_dicom, write_lodopab

WINDOW = (-1000.0, 1500.0)
TOMOGRAPHY = [
    "--problem",
    "Tomography",
    "--problem.views",
    "4",
    "--problem.window",
    "[-1000,1500]",
    "--problem.sigma_y",
    "0.1",
]
SHORT = ["--steps", "1", "--batch-size", "2", "--validation_share", "0"]
NOTHING = {"convert": None, "fit": None, "value_range": None, "strict": False}


def series(folder: Path, patients: int = 3, each: int = 2, side: int = 16, **tags) -> Path:
    pytest.importorskip("pydicom")
    for p in range(patients):
        (folder / f"p{p}").mkdir(parents=True)
        for k in range(each):
            values = stack(1, side, side, seed=10 * p + k)[0] + 1024
            write_dicom(folder / f"p{p}" / f"{k}.dcm", values, k, f"P{p}", f"1.2.{p}", **tags)
    return folder


def test_a_dicom_folder_is_trained_on_and_sampled(deft, prior_file: str, tmp_path: Path) -> None:
    images, run = series(tmp_path / "ct", patients=2), tmp_path / "run"
    given = ["--prior", prior_file, *TOMOGRAPHY, "--images", images]
    code, said, wrong = deft("train", *given, "--out", run, *SHORT)
    assert code == 0, wrong
    assert "images: 4 to train, 0 held out" in said
    code, _, wrong = deft(
        "sample",
        "--h",
        run,
        "--images",
        images,
        "--limit",
        "1",
        "--samples",
        "1",
        "--steps",
        "1",
        "--out",
        tmp_path / "s",
    )
    assert code == 0, wrong
    assert np.load(tmp_path / "s" / "00000.npz")["mean"].shape == (1, 16, 16)


def test_an_array_in_hounsfield_units_needs_a_window(deft, prior_file: str, tmp_path: Path) -> None:
    np.save(tmp_path / "hu.npy", stack(4, 32, 32))
    given = ["train", "--prior", prior_file, *TOMOGRAPHY, "--images", tmp_path / "hu.npy", *SHORT]
    code, _, wrong = deft(
        *given, "--out", tmp_path / "a", "--window", "[-1000,1500]", "--fit", "resize"
    )
    assert code == 0, wrong
    code, _, wrong = deft(*given, "--out", tmp_path / "b", "--window", "chest", "--fit", "resize")
    assert code == 2
    assert "--window is [-1000.0, 400.0] and that of the problem [-1000.0, 1500.0]" in wrong
    np.save(tmp_path / "hu.npy", stack(4, 16, 16))
    code, _, wrong = deft(*given, "--out", tmp_path / "c")
    assert code == 2
    assert "Hounsfield units need a --window" in wrong


def test_the_window_is_that_of_the_problem(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    hu = np.clip(stack(3, 16, 16), -1000, None)
    write_lodopab(tmp_path, 0, hu)
    x_0, names = inputs.images(
        inputs.opened(tmp_path, tiny_prior(), problem=Tomography(window=WINDOW), **NOTHING), 2
    )
    torch.testing.assert_close(
        x_0, torch.stack([Slices(hu, WINDOW)[i] for i in range(2)]), atol=1e-4, rtol=0
    )
    assert names == ["00000", "00001"]


@pytest.mark.parametrize(
    ("tags", "side", "says"),
    [
        ({"slope": None}, 16, "has no RescaleSlope, so that its values have no unit"),
        ({"RescaleType": "US"}, 16, "says that its values are 'US'; expected 'HU'"),
        (
            {},
            32,
            "holds slices of 32 x 32 and the prior takes 16 x 16; --fit resize averages whole "
            "blocks",
        ),
    ],
)
def test_what_is_wrong_with_a_series_is_said(
    deft, prior_file: str, tmp_path: Path, tags, side: int, says: str
) -> None:
    images = series(tmp_path / "ct", patients=1, side=side, **tags)
    code, _, wrong = deft(
        "train",
        "--prior",
        prior_file,
        *TOMOGRAPHY,
        "--images",
        images,
        "--out",
        tmp_path / "run",
        *SHORT,
    )
    assert code == 2
    assert says in wrong


def test_slices_without_any_window(deft, prior_file: str, tmp_path: Path) -> None:
    images = series(tmp_path / "ct", patients=1)
    problem = ["--problem", "Inpainting", "--problem.masks", "box"]
    code, _, wrong = deft(
        "train",
        "--prior",
        prior_file,
        *problem,
        "--images",
        images,
        "--out",
        tmp_path / "run",
        *SHORT,
    )
    assert code == 2
    assert "say with --window what the prior's range means" in wrong


class TestParted:
    def test_patients_are_not_in_both(self) -> None:
        slices = Slices(stack(12), WINDOW, patients=[f"p{i // 3}" for i in range(12)])
        train, held_out = inputs.parted(slices, 0.25, seed=0)
        assert (len(train), len(held_out)) == (9, 3)

    def test_without_patients_the_last_ones(self) -> None:
        slices = Slices(stack(12), WINDOW)
        train, held_out = inputs.parted(slices, 0.25, seed=0)
        torch.testing.assert_close(
            torch.cat([train, held_out]), torch.stack([slices[i] for i in range(12)])
        )
        assert len(held_out) == 3
        assert inputs.parted(slices, 0.0, seed=0)[1] is None

    def test_of_few_images_one_is_held_out_and_one_alone_is_refused(self) -> None:
        train, held_out = inputs.parted(Slices(stack(4), WINDOW), 0.05, seed=0)
        assert (len(train), len(held_out)) == (3, 1)
        with pytest.raises(InvalidInput, match="--validation_share 0"):
            inputs.parted(Slices(stack(1), WINDOW), 0.05, seed=0)

    def test_what_is_too_large_stays_where_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inputs, "_MOST_BYTES", 100)
        slices = Slices(stack(12), WINDOW)
        train, held_out = inputs.parted(slices, 0.25, seed=0)
        assert (len(train), len(held_out)) == (9, 3)
        torch.testing.assert_close(held_out[0], slices[9])


@pytest.mark.parametrize(
    ("array", "value_range", "expected"),
    [
        (np.zeros((1, 1, 16, 16), np.float32), (1.0, 1.0), "low < high"),
        (np.zeros((1, 1, 16, 16), np.float32), (1.0, 0.0), "low < high"),
        (np.zeros((1, 1, 16, 16), np.float32), (float("nan"), 1.0), "finite"),
        (np.zeros((1, 1, 16, 16), np.uint8), (0.0, 1.0), "not used"),
        (np.zeros((0, 1, 16, 16), np.float32), None, "one row for each measurement"),
        (np.float32(0), None, "one row for each measurement"),
    ],
)
def test_measurements_that_cannot_be_meant(tmp_path: Path, array, value_range, expected) -> None:
    np.save(tmp_path / "y.npy", array)
    given = {
        "masks": None,
        "sigma_y": None,
        "convert": None,
        "value_range": value_range,
        "strict": False,
    }
    with pytest.raises(InvalidInput) as raised:
        observation(tmp_path / "y.npy", tiny_prior(), Denoising(0.1), **given)
    assert expected in raised.value.expected
