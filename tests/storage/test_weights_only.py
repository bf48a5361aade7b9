import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from deft.errors import CheckpointError
from deft.storage import weights_only

WEIGHTS = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


class Evil:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".safetensors"])
def test_weights_come_back(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save({"state_dict": WEIGHTS, "step": 3}, path)
    found = weights_only.named(path, weights_only.contents(path))
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_of_a_crafted_pickle_is_executed(tmp_path, zipped):
    path, made = tmp_path / "w.pt", tmp_path / "executed"
    torch.save({"a": Evil(made)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"not executed.*needs the code of \w+\.mkdir"):
        weights_only.contents(path)
    path.write_bytes(pickle.dumps(Evil(made)))
    with pytest.raises(CheckpointError, match="not executed"):
        weights_only.contents(path)
    assert not made.exists()
    pickle.loads(path.read_bytes())  # the file would have done it
    assert made.exists()


def test_a_download_that_was_cut_short(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(WEIGHTS, path)
    whole = path.read_bytes()
    for length in (len(whole) // 2, 100, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=f"truncated: {length} bytes"):
            weights_only.contents(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is empty"):
        weights_only.contents(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (b"weights", "damaged"),
        (b"\x80\x02garbage", "damaged"),
    ],
)
def test_what_is_no_checkpoint(tmp_path, content, match):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=match):
        weights_only.contents(tmp_path / "w.pt")


def test_missing_and_unreadable(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="does not exist"):
        weights_only.contents(tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        weights_only.contents(tmp_path)


def test_no_tensors(tmp_path):
    for content, match in (({"x": 1}, "it holds x"), ([1], "it holds list"), ({}, "nothing")):
        with pytest.raises(CheckpointError, match=match):
            weights_only.named("w.pt", content)


def test_a_tensor_that_claims_more_memory_than_it_brings(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, path)
    with pytest.raises(CheckpointError, match="shares its memory with itself"):
        weights_only.named(path, weights_only.contents(path))
