"""`deft demo` on a tiny prior: everything it writes, a rerun, one's own images."""

import json
from pathlib import Path

import pytest
import torch

from deft.commands import photographs
from deft.priors import zoo
from tests.commands.conftest import save_images, tiny_prior


def test_the_demo_ends_in_a_page_and_a_rerun_resumes(deft, prior_file: str, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    arguments = [
        "demo",
        "--prior",
        prior_file,
        "--quick",
        "--samples",
        "2",
        "--out",
        tmp_path / "demo",
    ]
    code, said, wrong = deft(*arguments)
    assert code == 0, wrong
    assert "This takes about" in said
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<img") == 2
    assert "trained here from scratch" in page
    for each in (
        tmp_path / "demo" / "report.html",
        tmp_path / "demo" / "inpainting" / "report.html",
    ):
        assert "numbers mean nothing" in each.read_text()
    for name in ("inpainting", "super-resolution"):
        results = json.loads((tmp_path / "demo" / name / "results.json").read_text())
        assert [m["label"] for m in results["methods"]] == ["Prior alone", "DPS", "DDNM+", "DEFT"]
    first = (tmp_path / "demo" / "inpainting" / "h.safetensors").stat().st_mtime_ns
    code, said, wrong = deft(*arguments)
    assert code == 0, wrong
    assert "is there already" in said
    assert (tmp_path / "demo" / "inpainting" / "h.safetensors").stat().st_mtime_ns == first


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--fraction", "2", "at most 1"),
        ("--fraction", "0", "above 0"),
        ("--minutes", ".inf", "a finite number"),
        ("--minutes", ".nan", "a finite number"),
        ("--minutes", "1e9", "at most"),
    ],
)
def test_numbers_that_cannot_be_meant(
    deft, prior_file: str, tmp_path: Path, option: str, value: str, expected: str
) -> None:
    code, _, said = deft(
        "demo", "--prior", prior_file, "--out", tmp_path / "x", "--quick", option, value
    )
    assert code == 2
    assert expected in said
    assert not (tmp_path / "x").exists()


def test_another_prior_or_other_images_are_another_demo(deft, tmp_path: Path) -> None:
    zoo.save(tmp_path / "tiny.safetensors", tiny_prior(), {"data": "ramps"})
    own, out = save_images(tmp_path / "own", 16), tmp_path / "demo"
    given = [
        "demo",
        "--prior",
        tmp_path / "tiny.safetensors",
        "--quick",
        "--samples",
        "1",
        "--images",
        own,
    ]
    code, said, wrong = deft(*given, "--out", out)
    assert code == 0, wrong
    assert "1 sample of 2 test images" in said
    for change in (
        lambda: save_images(own, 16, seed=5),
        lambda: zoo.save(tmp_path / "tiny.safetensors", tiny_prior(seed=2), {"data": "ramps"}),
    ):
        change()
        code, _, wrong = deft(*given, "--out", out)
        assert code == 2
        assert "deft demo in another configuration" in wrong
    (out / "content.json").unlink()  # as an earlier version left it
    for content in ("", "{}", '{"steps": 3}'):
        (out / "plan.json").write_text(content)
        code, _, wrong = deft(*given, "--out", out)
        assert code == 2
        assert "plan.json" in wrong


def test_ones_own_images(deft, prior_file: str, tmp_path: Path) -> None:
    own = save_images(tmp_path / "own", 16, size=(20, 24), colour=True)
    arguments = [
        "demo",
        "--prior",
        prior_file,
        "--quick",
        "--samples",
        "2",
        "--out",
        tmp_path / "demo",
        "--images",
        own,
    ]
    code, _, said = deft(*arguments)
    assert code == 2
    assert "grey" in said
    assert (
        deft(*arguments[:-4], "--out", tmp_path / "other", "--images", own, "--convert", "grey")[0]
        == 0
    )


def test_too_few_images_and_unknown_priors(deft, prior_file: str, tmp_path: Path) -> None:
    few = save_images(tmp_path / "few", 3)
    code, _, said = deft("demo", "--prior", prior_file, "--images", few, "--out", tmp_path / "demo")
    assert code == 2
    assert "at least 8" in said
    assert deft("demo", "--prior", "natural-65", "--out", tmp_path / "x")[0] == 2
    assert deft("demo", "--prior", prior_file, "--minutes", "0", "--out", tmp_path / "x")[0] == 2
    assert (
        "--samples: got 0"
        in deft("demo", "--prior", prior_file, "--samples", "0", "--out", tmp_path / "x")[2]
    )


def test_crops_depend_on_the_seed_alone_and_test_photographs_never_train() -> None:
    pytest.importorskip("skimage")
    assert not set(photographs.TEST) & {*photographs.TRAIN, *photographs.VALIDATION}
    a, b = (photographs.crops(photographs.TEST, 3, (3, 16, 24), seed=5) for _ in range(2))
    assert a.shape == (3, 3, 16, 24)
    assert torch.equal(a, b)
    assert float(a.min()) >= -1
    assert float(a.max()) <= 1
    assert photographs.crops(photographs.TEST, 1, (1, 16, 16), seed=5).shape == (1, 1, 16, 16)
