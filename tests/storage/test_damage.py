"""One flipped bit anywhere in a file, header, card or tensors: it does not load."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deft.errors import CheckpointError
from deft.noise import Noise
from deft.priors import zoo
from deft.problems import Inpainting
from deft.training import checkpoint, places, shards
from deft.training.bank import Bank
from deft.training.state import StateFile
from tests.training import small

FLIPS = 1000


def _h(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "h.safetensors"
    checkpoint.save(
        path, small.h_transform(), small.prior(), {"problem": Inpainting("box", 0.05).card()}
    )
    return path, lambda: checkpoint.load(path, small.prior())


def _prior(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "prior.safetensors"
    zoo.save(path, small.prior(), {"data": "ramps"})  # type: ignore[arg-type]
    return path, lambda: zoo.load(path)


def _state(folder: Path) -> tuple[Path, Callable[[], object]]:
    small.run(small.h_transform(), out=folder, steps=2, patience=None)
    return folder / "state.safetensors", lambda: StateFile(folder).read()


def _bank(name: str) -> Callable[[Path], tuple[Path, Callable[[], object]]]:
    def make(folder: Path) -> tuple[Path, Callable[[], object]]:
        Bank.build(small.prior(), small.images(), 24, out=folder, progress=False)
        return folder / name, lambda: Bank.open(folder, small.prior()).batch(
            np.arange(24), Noise(range(24))
        )  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize(
    "make",
    [_h, _prior, _state, _bank("bank.npy"), _bank("bank.json")],
    ids=["h", "prior", "state", "shard", "bank"],
)
def test_no_file_loads_with_one_bit_flipped(make, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 10)
    path, load = make(tmp_path)
    load()
    honest = path.read_bytes()
    draw = random.Random(0)
    for _ in range(FLIPS):
        place, bit = draw.randrange(len(honest)), draw.randrange(8)
        damaged = bytearray(honest)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load()
    path.write_bytes(honest)
    load()


@pytest.mark.parametrize("make", [_h, _prior, _state], ids=["h", "prior", "state"])
def test_every_bit_of_the_start_of_the_header(make, tmp_path):
    """The length of the header, the kind, and the hash itself."""
    path, load = make(tmp_path)
    honest = path.read_bytes()
    hashed = honest.index(b"sha256")
    for place in (*range(40), *range(hashed - 3, hashed + 80, 3)):
        for bit in range(8):
            damaged = bytearray(honest)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                load()


def test_every_file_that_ships_is_sealed():
    from deft.storage import tensors

    files = sorted(zoo.FOLDER.glob("*.safetensors"))
    assert len(files) == len(zoo.names()) + len(places.shipped())
    for path in files:
        assert tensors.header(path).sealed, path.name
