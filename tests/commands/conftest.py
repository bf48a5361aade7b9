"""A tiny prior, a folder of tiny images and a trained h-transform, for every command."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.cli import main
from deft.priors import zoo
from deft.priors.unet import UNetPrior
from deft.schedules import VPLinear

SHAPE = (1, 16, 16)


def tiny_prior(seed: int = 0, shape: tuple[int, ...] = SHAPE, name: str = "tiny") -> UNetPrior:
    torch.manual_seed(seed)
    prior = UNetPrior(
        shape, VPLinear(), channels=(16, 16), blocks=1, patch=2, attention=(False, False), name=name
    )
    for parameter in prior.network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return prior


def save_images(
    folder: Path, count: int, size: tuple[int, int] = (16, 16), colour: bool = False, seed: int = 0
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for i in range(count):
        ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size)
        pixels = np.roll(ramp, generator.integers(0, 200)).astype(np.uint8)
        Image.fromarray(np.stack([pixels] * 3, axis=-1) if colour else pixels).save(
            folder / f"{i:02d}.png"
        )
    return folder


@pytest.fixture(scope="session")
def prior_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    zoo.save(path, tiny_prior(), {"data": "ramps"})
    return str(path)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_images(tmp_path_factory.mktemp("images"), 8))


@pytest.fixture(scope="session")
def run_folder(
    tmp_path_factory: pytest.TempPathFactory, prior_file: str, image_folder: str
) -> Path:
    """A training run of two steps."""
    out = tmp_path_factory.mktemp("run")
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]
    short = ["--steps", "2", "--batch-size", "2", "--validation_share", "0"]
    code = main(
        [
            "train",
            "--prior",
            prior_file,
            *problem,
            "--images",
            image_folder,
            "--out",
            str(out),
            *short,
        ]
    )
    assert code == 0
    return out


@pytest.fixture
def deft(capsys: pytest.CaptureFixture[str]):
    """Run a command in this process: (exit code, what it printed, what it complained about)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
