"""Where the weights are: variants, shards, folders, revisions, and the cache of the hub."""

import json
import shutil

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors import resolve
from deft.priors.diffusers import load
from deft.priors.diffusers_files import variant_of
from tests.priors import diffusers_tiny as tiny
from tests.storage.test_weights_only import Evil

diffusers = pytest.importorskip("diffusers")
X, T = torch.ones(1, 4, 8, 8), torch.tensor([0.5], dtype=torch.float64)


def folder_of(tmp_path, **how):
    """A DiT in a pipeline folder, its weights saved in some way."""
    network = tiny.dit()
    tiny.saved(tmp_path, network, tiny.betas())
    shutil.rmtree(tmp_path / "transformer")
    network.save_pretrained(tmp_path / "transformer", **how)
    return tmp_path, network


@pytest.fixture
def expected(tmp_path):
    folder, _ = folder_of(tmp_path / "expected")
    return load(folder).denoise(X, T)


def test_shards(tmp_path, expected):
    folder, _ = folder_of(tmp_path, max_shard_size="10KB")
    assert len(list((folder / "transformer").glob("*-of-*.safetensors"))) > 2
    torch.testing.assert_close(load(folder).denoise(X, T), expected)


def test_shards_of_a_variant(tmp_path, expected):
    folder, _ = folder_of(tmp_path, max_shard_size="10KB", variant="fp16")
    assert (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.fp16.json").exists()
    torch.testing.assert_close(load(folder).denoise(X, T), expected)


def test_one_of_several_variants(tmp_path):
    folder, network = folder_of(tmp_path)
    with torch.no_grad():
        network.proj_out_2.bias.add_(1)
    network.save_pretrained(folder / "transformer", variant="fp16")
    plain, other = load(folder), load(folder, variant="fp16")
    assert not torch.allclose(plain.denoise(X, T), other.denoise(X, T))
    root = folder / "transformer"
    assert variant_of(root, folder) is None
    with pytest.raises(CheckpointError) as raised:
        load(folder, variant="bf16")
    assert "fp16" in raised.value.expected
    (root / "diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(root, variant="ema")
    with pytest.raises(CheckpointError) as raised:
        load(folder)
    assert "one variant of ema, fp16" in raised.value.expected


@pytest.mark.parametrize("damage", ["missing", "elsewhere", "damaged"])
def test_shards_that_are_not_whole(tmp_path, damage):
    folder, _ = folder_of(tmp_path, max_shard_size="10KB")
    root = folder / "transformer"
    first = sorted(root.glob("*-of-*.safetensors"))[0]
    index = root / "diffusion_pytorch_model.safetensors.index.json"
    if damage == "missing":
        first.unlink()
    elif damage == "damaged":
        first.write_bytes(first.read_bytes()[:100])
    else:
        first.rename(folder / first.name)
        said = json.loads(index.read_text())
        for name, place in said["weight_map"].items():
            if place == first.name:
                said["weight_map"][name] = f"../{first.name}"
        index.write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="could not be read"):
        load(folder)


def test_a_pickle_that_needs_code_executes_nothing(tmp_path):
    folder, network = folder_of(tmp_path)
    root = folder / "transformer"
    (root / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(network.state_dict(), root / "diffusion_pytorch_model.bin")
    assert bool(load(folder).denoise(X, T).isfinite().all())
    mark = tmp_path / "executed"
    torch.save({"a": Evil(mark)}, root / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match="could not be read"):
        load(folder)
    assert not mark.exists()


def test_averaged_weights_in_a_folder_of_their_own(tmp_path):
    folder, network = folder_of(tmp_path)
    with torch.no_grad():
        network.proj_out_2.bias.add_(1)
    network.save_pretrained(folder / "transformer_ema")
    with pytest.raises(InvalidInput) as raised:
        load(folder)
    assert "subfolder='transformer_ema'" in raised.value.advice
    names = ("transformer", "transformer_ema")
    found = [load(folder, subfolder=name).denoise(X, T) for name in names]
    assert not torch.allclose(*found)


class TestHub:
    """A cache as the hub's client leaves it, and no network."""

    COMMITS = ("1" * 40, "2" * 40)

    @pytest.fixture
    def cache(self, tmp_path, monkeypatch):
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        home = tmp_path / "models--someone--a-prior"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text(self.COMMITS[1])
        for k, commit in enumerate(self.COMMITS):
            network = tiny.dit()
            with torch.no_grad():
                network.proj_out_2.bias.add_(k)
            tiny.saved(home / "snapshots" / commit, network, tiny.betas())
        return home

    def test_what_is_in_the_cache_needs_no_network(self, cache):
        prior = load("someone/a-prior")
        assert prior.name == "someone/a-prior"
        there = load(cache / "snapshots" / self.COMMITS[1])
        torch.testing.assert_close(prior.denoise(X, T), there.denoise(X, T))

    def test_a_revision(self, cache):
        old = load(cache / "snapshots" / self.COMMITS[0]).denoise(X, T)
        new = load("someone/a-prior").denoise(X, T)
        assert not torch.allclose(old, new)
        for prior in (
            load("someone/a-prior", revision=self.COMMITS[0]),
            load(f"someone/a-prior@{self.COMMITS[0]}"),
            resolve.load(f"someone/a-prior@{self.COMMITS[0]}"),
        ):
            torch.testing.assert_close(prior.denoise(X, T), old)
        (cache / "refs" / "v1").write_text(self.COMMITS[0])
        torch.testing.assert_close(load("someone/a-prior@v1").denoise(X, T), old)

    def test_a_revision_that_is_not_there(self, cache):
        for name in ("someone/a-prior@v2", f"someone/a-prior@{'3' * 40}", "someone/another"):
            with pytest.raises(CheckpointError, match="could not be had from the Hugging Face hub"):
                load(name)
        with pytest.raises(InvalidInput, match="a branch, a tag or a commit"):
            load("someone/a-prior@../x")
        with pytest.raises(InvalidInput, match="is a folder"):
            load(cache / "snapshots" / self.COMMITS[0], revision="main")

    def test_what_a_file_names_is_not_downloaded(self, cache):
        with pytest.raises(InvalidInput, match="not downloaded"):
            resolve.load("someone/a-prior@main", fetch=False)
