"""NIfTI volumes in the commands that read images, and as measurements."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from deft import DeftPipeline
from deft.data import open_images
from deft.errors import BadImage, InvalidInput
from tests.commands.conftest import SHAPE
from tests.commands.volumes import TOP, save, shown, volume
from tests.refusal import refused

PAGE = (Path(__file__).parents[2] / "docs" / "mri.md").read_text().split("## Volumes")[1]
RANGE = ["--value_range", f"[0,{TOP:g}]"]
DENOISING = ["--problem", "Denoising", "--problem.sigma_y", "0.1"]
FEW = ["--method", "DPS", "--method.steps", "2", "--samples", "1"]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nifti")
    for seed, name in enumerate(("one.nii.gz", "two.nii", "deep/one.nii")):
        save(root / "volumes" / name, volume(seed))
    return root


def y_of(folder: Path, name: str, kind: str) -> np.ndarray:
    with np.load(folder / f"{name}.npz") as z:
        return z[kind][0]


def test_a_slice_is_measured_or_is_the_measurement(deft, prior_file, volumes, tmp_path) -> None:
    given = ["sample", "--prior", prior_file, *DENOISING, *FEW, *RANGE]
    for kind, name in (("--images", "truth"), ("--measurements", "y")):
        file = [kind, volumes / "volumes" / "one.nii.gz"]
        out = tmp_path / kind[2:]
        code, _, wrong = deft(*given, *file, "--slice", "axial:1", "--out", out / "one")
        assert code == 0, wrong
        expected = shown(volume(), 1)
        np.testing.assert_allclose(y_of(out / "one", "00000", name), expected, atol=1e-5)
        code, _, wrong = deft(*given, *file, "--slice", "axial:2-3", "--out", out / "two")
        assert code == 0, wrong
        for number in (2, 3):
            found = y_of(out / "two", f"one-axial-{number}", name)
            np.testing.assert_allclose(found, shown(volume(), number), atol=1e-5)
        code, _, wrong = deft(*given, *file, "--out", tmp_path / "o")
        assert code == 2
        assert "is a volume" in wrong
        assert "5 axial" in wrong


def test_a_folder_is_all_of_its_volumes(volumes) -> None:
    """In the order of their paths; whole ones are held out."""
    given = {"slice": "axial:1-2", "values": (0.0, TOP)}
    found = open_images(volumes / "volumes", SHAPE, **given)
    assert found.names == [
        f"{name}-axial-{number}" for name in ("deep-one", "one", "two") for number in (1, 2)
    ]
    np.testing.assert_allclose(found[0][0], shown(volume(2), 1), atol=1e-5)
    np.testing.assert_allclose(found[5][0], shown(volume(1), 2), atol=1e-5)
    train, held_out = found.split((0.66, 0.34), 0)
    assert len(train) == 4
    assert len({found.patients[i] for i in train.indices} & {
        found.patients[i] for i in held_out.indices
    }) == 0  # fmt: skip


def test_training_holds_out_volumes_and_evaluates(deft, prior_file, volumes, tmp_path) -> None:
    given = ["--prior", prior_file, *DENOISING, "--images", volumes / "volumes", *RANGE]
    short = ["--steps", "2", "--batch_size", "2", "--validation_share", "0.3"]
    code, said, wrong = deft("train", *given, "--slice", "axial", *short, "--out", tmp_path / "r")
    assert code == 0, wrong
    assert "images: 10 to train, 5 held out" in said
    methods = tmp_path / "methods.yaml"
    methods.write_text(
        "methods:\n  DEFT:\n    class_path: DEFT\n    init_args:\n"
        f"      checkpoint: {tmp_path / 'r'}\n"
    )
    few = ["--config", methods, "--samples", "1", "--limit", "2", "--out", tmp_path / "e"]
    code, _, wrong = deft("evaluate", *given, "--slice", "axial:0-1", *few)
    assert code == 0, wrong


def test_hounsfield_units_are_cut_to_the_window(tmp_path) -> None:
    hu = np.clip(volume(), 0, None) * 4 - 1400  # below and above the window
    path = save(tmp_path / "ct.nii", hu)
    for given in ({"window": (-1000, 1500)}, {"default_window": (-1000, 1500)}):
        found = open_images(path, SHAPE, slice="axial:3", **given)
        expected = np.clip(hu[::-1, ::-1, 3].T, -1000, 1500)
        np.testing.assert_allclose(found[0][0], (expected + 1000) / 1250 - 1, atol=1e-5)
    coarse = open_images(path, (1, 8, 8), slice="axial:3", window=(-1000, 1500), fit="resize")
    assert coarse[0].shape == (1, 8, 8)
    for wrong, name in (
        ({"window": (-1000, 1500), "values": (0.0, 1.0)}, "value_range"),
        ({"fit": "resize"}, "fit"),
        ({"fit": "crop", "window": (-1000, 1500)}, "fit"),
    ):
        with pytest.raises(InvalidInput) as raised:
            open_images(path, SHAPE, slice="axial:3", **wrong)
        assert raised.value.what == name
    with pytest.raises(InvalidInput, match=r"a prior of \[-1, 1\]"):
        open_images(path, SHAPE, (0.0, 1.0), slice="axial:3", window=(-1000, 1500))


def test_volumes_of_other_sizes(tmp_path) -> None:
    save(tmp_path / "a.nii", volume())
    with pytest.raises(BadImage) as raised:
        open_images(tmp_path / "a.nii", (1, 32, 32), slice="axial", values=(0.0, TOP))
    assert raised.value.given == "slices of 16 x 16 (height x width)"
    save(tmp_path / "b.nii", volume(size=8))
    with pytest.raises(BadImage, match=r"16 x 16 .* in a and of 8 x 8 in b"):
        open_images(tmp_path, SHAPE, slice="axial", values=(0.0, TOP))


def test_pictures_beside_them_come_first(tmp_path, image_folder) -> None:
    """As before: files of another kind are left out with a warning."""
    for file in Path(image_folder).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save(tmp_path / "a.nii", volume())
    with pytest.warns(UserWarning, match=r"left out are files of other kinds: 1 \.nii"):
        assert len(open_images(tmp_path, SHAPE)) == 8


def test_they_are_not_drawn_by_tiles(deft, prior_file, tmp_path) -> None:
    path = save(tmp_path / "large.nii", volume(size=32))
    given = ["sample", "--prior", prior_file, *DENOISING, *FEW, *RANGE]
    given += ["--images", path, "--slice", "axial:1", "--out", tmp_path / "s"]
    code, _, wrong = deft(*given)
    assert code == 2
    assert "slices of 32 x 32" in wrong
    assert "save its slices as npy" in wrong
    code, _, wrong = deft(*given, "--overlap", "4")
    assert code == 2
    assert "with NIfTI, whose slices are not drawn by tiles" in wrong


def test_the_pipeline(run_folder, volumes, tmp_path) -> None:
    pipe = DeftPipeline.from_pretrained(run_folder)
    mask = np.ones((16, 16), np.uint8)
    mask[4:12, 4:12] = 0
    given = {"mask": mask, "num_samples": 1, "steps": 2, "value_range": (0.0, TOP)}
    path = volumes / "volumes" / "one.nii.gz"
    answers = pipe(path, slice="axial:1-2", **given)
    array = np.stack([shown(volume(), n) for n in (1, 2)])
    same = pipe(array, **(given | {"value_range": (-1, 1)}))
    np.testing.assert_allclose(answers.samples, same.samples, atol=1e-4)
    assert len(pipe([path, str(path)], slice="axial:1", **given).samples) == 2
    refused(lambda: pipe(array, slice="axial:1", **given), "axial:1", "no NIfTI files")
    with pytest.raises(InvalidInput, match="5 axial"):
        pipe(path, **given)


def test_the_pipeline_in_hounsfield_units(tmp_path) -> None:
    """A problem with a window: values are cut to it, and value_range is another window."""
    from deft.pipeline.read import Given, items

    hu = volume() * 4 - 1400
    path = save(tmp_path / "ct.nii", hu)
    for said, window in ((None, (-1000.0, 1500.0)), ((-500.0, 500.0), (-500.0, 500.0))):
        given = Given(value_range=said, window=(-1000.0, 1500.0), slice="axial:2-3")
        (read,) = items(path, SHAPE, given)
        assert read.range == window
        expected = np.clip(hu[::-1, ::-1, 3].T, *window)
        np.testing.assert_allclose(read.values[1, 0], expected, atol=0.01)


def test_the_lines_of_the_page(deft, prior_file, volumes, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("one.nii.gz", "two.nii")):
        save(tmp_path / "volumes" / name, volume(seed, slices=61))
    save(tmp_path / "low.nii.gz", volume(size=8, slices=61))
    Path("methods.yaml").write_text("methods: {DPS: {class_path: DPS, init_args: {steps: 2}}}\n")
    short = {"train": " --steps 2 --batch_size 2", "evaluate": " --samples 1", "sample": ""}
    lines = re.findall(r"^    deft (.+)$", PAGE, re.M)
    assert [line.split()[0] for line in lines] == list(short)
    for line in lines:
        line = line.replace("GREY", prior_file) + short[line.split()[0]]
        code, said, wrong = deft(*shlex.split(line))
        assert code == 0, wrong
        if line.startswith("train"):
            assert "images: 41 to train, 41 held out" in said
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names = {"pipe": DeftPipeline.from_pretrained("run-volumes")}
    exec(block, names)
    assert names["answers"].samples.shape == (1, 8, *SHAPE)
