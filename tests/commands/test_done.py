"""Resuming goes by content: what changed is drawn again, and said; what did not is kept."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from deft.commands.done import Done, of_measurement
from deft.errors import FolderInUse
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.inpainting import Inpainting
from deft.operators.mri import MRI
from deft.priors import zoo
from deft.problems import Fixed
from deft.storage.lock import locked
from deft.training import checkpoint
from tests.commands.conftest import save_images, tiny_prior

FEW = ["--samples", "2", "--steps", "2"]


@pytest.fixture
def place(run_folder: Path, prior_file: str, tmp_path: Path) -> Path:
    """Copies of an h-transform, a prior and two images, which a test may change."""
    shutil.copy(run_folder / "h.safetensors", tmp_path / "h.safetensors")
    for file in Path(prior_file).parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    save_images(tmp_path / "images", 2)
    return tmp_path


@pytest.fixture
def sample(deft, place: Path) -> Callable[..., str]:
    """`deft sample` in that place: what it printed."""

    def run(*more: object) -> str:
        given = [
            "--h",
            place / "h.safetensors",
            "--prior",
            place / "tiny.safetensors",
            "--images",
            place / "images",
        ]
        code, said, wrong = deft("sample", *given, "--out", place / "s", *FEW, *more)
        assert code == 0, wrong
        return said

    return run


def drawn(place: Path) -> np.ndarray:
    """The samples of the second image."""
    with np.load(place / "s" / "01.npz") as stored:
        return stored["samples"]


def other_h(place: Path) -> None:
    prior = zoo.load(place / "tiny.safetensors")
    h, card = checkpoint.load(place / "h.safetensors", prior)
    with torch.no_grad():
        for p in h.parameters():
            p.add_(0.05)
    checkpoint.save(
        place / "h.safetensors",
        h,
        prior,
        {"prior_from": card["prior_from"], "problem": card["problem"]},
    )


def other_image(place: Path) -> None:
    pixels = np.asarray(Image.open(place / "images" / "01.png"))
    Image.fromarray(255 - pixels).save(place / "images" / "01.png")


def cut(name: str, keep: int) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        path = place / "s" / name
        path.write_bytes(path.read_bytes()[:keep])

    return change


def flip(name: str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        path = place / "s" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))

    return change


def foreign(place: Path) -> None:
    np.savez(place / "s" / "01.npz", samples=np.zeros(3))


def forgotten(place: Path) -> None:
    (place / "s" / "done.jsonl").unlink()


def half_a_line(place: Path) -> None:
    path = place / "s" / "done.jsonl"
    path.write_bytes(path.read_bytes()[:-20])


CHANGES = {
    "another h at the same path": (other_h, "the method changed: 00, 01"),
    "another image of the same name": (other_image, "the measurement changed: 01"),
    "an empty result": (cut("01.npz", 0), "01.npz is damaged"),
    "half a result": (cut("01.npz", 300), "01.npz is damaged"),
    "a flipped bit": (flip("01.npz"), "01.npz is damaged"),
    "half a picture": (cut("01-samples.png", 50), "01-samples.png is damaged"),
    "a foreign result": (foreign, "01.npz is damaged, or was changed"),
    "a missing picture": (
        lambda place: (place / "s" / "01-std.png").unlink(),
        "01-std.png is missing",
    ),
    "a missing result": (lambda place: (place / "s" / "01.npz").unlink(), "01.npz is missing"),
    "no record": (forgotten, "nothing is recorded of the 01.npz"),
    "half a record": (half_a_line, "nothing is recorded of the 01.npz"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_drawn_again_and_what_did_not_is_kept(
    sample, place: Path, name: str
) -> None:
    change, said = CHANGES[name]
    assert "already" not in sample()
    first = drawn(place)
    assert "2 of 2 images are done already" in sample()
    kept = (place / "s" / "00.npz").stat().st_mtime_ns
    change(place)
    again = sample()
    assert said in again
    all_of_them = name in ("another h at the same path", "no record")
    assert ("1 of 2 images are done already" in again) is not all_of_them
    assert ((place / "s" / "00.npz").stat().st_mtime_ns == kept) is not all_of_them
    same = np.allclose(drawn(place), first, atol=1e-5)  # one image at a time is rounded differently
    assert same is (change not in (other_h, other_image))
    assert "2 of 2 images are done already" in sample()


def test_another_prior_at_the_same_path(deft, place: Path) -> None:
    given = [
        "--method",
        "Unconditional",
        "--prior",
        place / "tiny.safetensors",
        "--problem",
        "Inpainting",
        "--images",
        place / "images",
    ]
    run = [
        "sample",
        *given,
        "--out",
        place / "s",
        "--samples",
        "2",
        "--method.sampler",
        "DDIM",
        "--method.sampler.steps",
        "2",
    ]
    assert deft(*run)[0] == 0
    zoo.save(place / "tiny.safetensors", tiny_prior(seed=3), {"data": "ramps"})
    code, said, wrong = deft(*run)
    assert code == 0, wrong
    assert "the prior changed: 00, 01" in said


def test_other_settings_are_not_done_even_where_the_options_were_lost(sample, place: Path) -> None:
    sample()
    (place / "s" / "config.yaml").unlink()
    assert "the measurement and the settings changed: 00, 01" in sample("--seed", "1")


def test_a_folder_in_use(deft, place: Path) -> None:
    given = [
        "sample",
        "--h",
        place / "h.safetensors",
        "--prior",
        place / "tiny.safetensors",
        "--images",
        place / "images",
    ]
    with locked(place / "s"):
        assert (
            deft(*given, "--out", place / "s", *FEW)[0] == 0
        )  # the same thread of the same process
    import threading

    found: list[BaseException] = []

    def hold() -> None:
        try:
            with locked(place / "s"):
                pass
        except FolderInUse as error:
            found.append(error)

    with locked(place / "s"):
        thread = threading.Thread(target=hold)
        thread.start()
        thread.join()
    assert found


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "x",
        '{"name": 3}',
        '{"name": "00", "from": {}, "files": {}}',
        '{"name": "00", "from": [], "files": {"a": "b"}}',
    ],
)
def test_a_line_that_is_no_record_counts_for_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / "done.jsonl").write_text(line)
    done = Done(tmp_path)
    assert done.why_again("00", {"h": "a"}) == ""
    (tmp_path / "00.npz").write_bytes(b"1")
    done.add("00", {"h": "a"}, ["00.npz"], {"misfit": 1.0})
    again = Done(tmp_path)
    assert again.why_again("00", {"h": "a"}) is None
    assert json.loads((tmp_path / "done.jsonl").read_text().splitlines()[-1])["misfit"] == 1.0


class TestMeasurement:
    def observation(self, mask: torch.Tensor, sigma_y: float = 0.1, y: float = 1.0) -> Observation:
        return Observation(
            torch.full((1, 1, 4, 4), y), GaussianLikelihood(Inpainting(mask), sigma_y)
        )

    def test_it_depends_on_all_of_it(self) -> None:
        problem, mask = (
            Fixed(Inpainting(torch.ones(1, 1, 4, 4)), sigma_y=0.1),
            torch.ones(1, 1, 4, 4),
        )
        holed = mask.clone()
        holed[..., 0, 0] = 0
        found = {
            of_measurement(problem, observed, truth)
            for observed, truth in (
                (self.observation(mask), None),
                (self.observation(holed), None),
                (self.observation(mask, sigma_y=0.2), None),
                (self.observation(mask, y=2.0), None),
                (self.observation(mask), torch.ones(1, 4, 4)),
                (self.observation(mask), torch.zeros(1, 4, 4)),
            )
        }
        assert len(found) == 6
        assert of_measurement(problem, self.observation(mask), None) == of_measurement(
            problem, self.observation(mask.clone()), None
        )

    def test_of_complex_and_sparse_parts(self) -> None:
        observed = Observation(
            torch.zeros(1, 2, 4, 4), GaussianLikelihood(MRI(torch.ones(1, 1, 4, 4)), 0.1)
        )
        for kind in (
            torch.eye(3).to_sparse(),
            (2 * torch.eye(3)).to_sparse_csr(),
            torch.ones(2, dtype=torch.complex64),
        ):
            problem = Fixed(MRI(torch.ones(1, 1, 4, 4)), sigma_y=0.1)
            before = of_measurement(problem, observed, None)
            observed.likelihood.register_buffer("extra", kind)
            assert of_measurement(problem, observed, None) != before


def test_files_are_hashed_whole(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "a.safetensors")
    done = Done(tmp_path)
    done.add("a", {}, ["a.safetensors"], {})
    assert done.why_again("a", {}) is None
    save_file({"x": load_file(tmp_path / "a.safetensors")["x"] + 1}, tmp_path / "a.safetensors")
    assert "damaged, or was changed" in done.why_again("a", {})
