"""`deft bank`, and trainings that learn from one bank."""

from pathlib import Path

import pytest

from deft.priors import zoo
from deft.priors.unet import UNetPrior
from deft.training import checkpoint
from tests.commands.conftest import tiny_prior

INPAINTING = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
SHORT = ["--steps", "2", "--batch_size", "2"]


@pytest.fixture
def bank(deft, prior_file: str, image_folder: str, tmp_path: Path):
    def build(*options: object) -> tuple[int, str, str]:
        return deft(
            "bank",
            "--prior",
            prior_file,
            "--images",
            image_folder,
            "--size",
            "10",
            "--out",
            tmp_path / "bank",
            *options,
        )

    return build


@pytest.fixture
def train(deft, prior_file: str, image_folder: str, tmp_path: Path):
    def run(out: str, *options: object) -> tuple[int, str, str]:
        return deft(
            "train",
            "--prior",
            prior_file,
            "--images",
            image_folder,
            "--bank",
            tmp_path / "bank",
            "--out",
            tmp_path / out,
            *SHORT,
            *options,
        )

    return run


def test_two_problems_learn_from_one_bank(bank, train, tmp_path, monkeypatch) -> None:
    code, said, wrong = bank("--validation_share", "0")
    assert code == 0, wrong
    assert "10 evaluations" in said

    def refuse(*_):
        raise AssertionError("the prior was evaluated")

    monkeypatch.setattr(UNetPrior, "denoise", refuse)
    share = ["--validation_share", "0"]
    assert train("box", *INPAINTING, *share)[0] == 0
    assert train("sr", "--problem", "SuperResolution", "--problem.factor", "2", *share)[0] == 0
    card = checkpoint.read_card(tmp_path / "box" / "h.safetensors")
    assert card["training"]["bank"] == 10


def test_it_goes_on_and_builds_nothing_twice(bank, tmp_path, monkeypatch) -> None:
    real, calls = UNetPrior.denoise, []

    def stops(prior, x_t, t):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(prior, x_t, t)

    monkeypatch.setattr(UNetPrior, "denoise", stops)
    code, _, wrong = bank("--batch_size", "2")
    assert code == 130
    assert "the same command goes on" in wrong
    code, _, wrong = bank("--batch_size", "2")
    assert code == 0, wrong
    assert len(calls) == 3 + 3  # two batches were kept
    assert bank()[0] == 0
    assert len(calls) == 6


def test_a_bank_of_other_images_is_refused(bank, train, tmp_path) -> None:
    """Those that are held out must be none of the bank's."""
    assert bank("--validation_share", "0")[0] == 0
    code, _, wrong = train("run", *INPAINTING, "--validation_share", "0.5")
    assert code == 2
    assert "was made of other images" in wrong
    assert "--validation_share" in wrong
    assert not (tmp_path / "run" / "h.safetensors").exists()
    assert train("run", *INPAINTING, "--validation_share", "0", "--flip", "true")[0] == 2


def test_another_size_is_another_bank(bank) -> None:
    assert bank()[0] == 0
    code, _, wrong = bank("--size", "12")
    assert code == 2
    assert "holds another bank" in wrong


def test_several_measurements_for_each_evaluation(
    deft, prior_file: str, image_folder: str, tmp_path: Path
) -> None:
    code, _, wrong = deft(
        "train",
        "--prior",
        prior_file,
        "--images",
        image_folder,
        "--out",
        tmp_path / "run",
        *INPAINTING,
        *SHORT,
        "--validation_share",
        "0",
        "--per_evaluation",
        "3",
        "--patch",
        "4",
    )
    assert code == 0, wrong
    card = checkpoint.read_card(tmp_path / "run" / "h.safetensors")
    assert card["training"]["per_evaluation"] == 3
    assert "'patch': 4" in str(card)


def test_a_bank_of_another_prior_is_named(deft, bank, image_folder: str, tmp_path: Path) -> None:
    assert bank("--validation_share", "0")[0] == 0
    other = tmp_path / "other.safetensors"
    zoo.save(other, tiny_prior(seed=1), {"data": "ramps"})
    given = ["--prior", other, "--images", image_folder, "--bank", tmp_path / "bank"]
    code, _, said = deft("train", *given, "--out", tmp_path / "run", *INPAINTING, *SHORT)
    assert code != 0
    assert f"the bank in {tmp_path / 'bank'} was made with the prior tiny" in said
    assert not (tmp_path / "run" / "h.safetensors").exists()


def test_a_broken_shard_is_named(bank, train, tmp_path: Path) -> None:
    share = ["--validation_share", "0"]
    assert bank(*share)[0] == 0
    path = tmp_path / "bank" / "bank.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    code, _, said = train("run", *INPAINTING, *share)
    assert code != 0
    assert f"{path} is damaged: the entries from 0 do not have the hash" in said
    assert "build the bank again" in said
