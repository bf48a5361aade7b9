import errno
import json
import os

import numpy as np
import pytest
import torch

from deft.errors import CheckpointError, FolderInUse, InvalidInput, OutOfMemory
from deft.noise import Noise
from deft.storage.lock import locked
from deft.training import shards
from deft.training.bank import Bank
from deft.training.denoising import TimeLaw
from deft.training.loop import train
from tests.training import small


def build(n=20, **settings):
    return Bank.build(
        small.prior(), small.images(), n, **{"batch_size": 6, "progress": False, **settings}
    )


def assert_same(a: Bank, b: Bank):
    assert len(a) == len(b)
    assert np.array_equal(*(bank.entries[np.arange(len(bank))].view(np.uint8) for bank in (a, b)))


def test_holds_what_the_prior_says():
    prior, bank = small.prior(), build(40, times=TimeLaw(uniform=1.0))
    batch = bank.batch(range(40), Noise(range(40)))
    said = prior.at(batch.denoised.x_t, batch.denoised.t)
    # fp16 of an error in units of r_t: 5e-4 of it, at every noise level
    r_t = prior.scale * said.sigma_t / (said.alpha_t**2 * prior.scale**2 + said.sigma_t**2).sqrt()
    assert ((said.x_0_hat - batch.denoised.x_0_hat) / r_t).abs().max() < 3e-3
    log_snr = batch.denoised.log_snr
    assert log_snr.max() - log_snr.min() > 10
    eps = (batch.denoised.x_t - said.alpha_t * batch.x_0) / said.sigma_t
    assert eps.std().item() == pytest.approx(1.0, abs=4 / (2 * eps.numel()) ** 0.5)


def test_x_0_are_the_images():
    bank = build(24)
    found = bank.batch(range(24), Noise(range(24))).x_0
    distance = (found[:, None] - small.images()[None]).flatten(2).abs().amax(2)
    assert distance.amin(1).max() < 5e-4  # half precision
    assert sorted(distance.argmin(1).tolist()) == list(range(24))  # one epoch


def test_trains_without_the_prior(monkeypatch):
    bank = build(32)
    h, start = small.h_transform(), small.h_transform()

    def refuse(*_):
        raise AssertionError("the prior was evaluated")

    monkeypatch.setattr(type(small.prior()), "denoise", refuse)
    result = train(h, small.prior(), small.objective(), bank, steps=6, batch_size=8, progress=False)
    assert result.signals == 48
    assert small.differing(h.state_dict(), start.state_dict())


def test_loss_is_that_of_the_prior_itself():
    prior, bank, objective, h = small.prior(), build(16), small.objective(), small.h_transform()
    batch = bank.batch(range(16), Noise(range(16)))
    said = prior.at(batch.denoised.x_t, batch.denoised.t)
    observation = objective.problem.draw(batch.x_0, batch.noise.stream(1))
    direct = objective.loss_from(h, prior.scale, said, observation, batch.x_0)
    torch.testing.assert_close(
        objective.loss(h, prior, batch).value, direct.value, rtol=1e-2, atol=1e-4
    )  # half precision


def test_the_card_tells_banks_apart():
    assert build().card() == build().card()
    other = Bank.build(small.prior(), small.images(seed=4), 20, batch_size=6, progress=False)
    assert build().card()["fingerprint"] != other.card()["fingerprint"]
    assert build().card()["bank"]["data"] != other.card()["bank"]["data"]


def test_observations_are_drawn_afresh():
    bank, objective, h = build(4), small.objective(), small.h_transform()
    first, second = (
        objective.loss(h, small.prior(), bank.batch(range(4), Noise(seeds)))
        for seeds in (range(4), range(4, 8))
    )
    assert torch.equal(first.shown["log_snr"], second.shown["log_snr"])
    assert not torch.equal(first.value, second.value)


class TestFolder:
    def test_same_as_in_memory(self, tmp_path):
        assert_same(build(out=tmp_path), build())
        assert_same(Bank.open(tmp_path, small.prior()), build())
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bank.json", "bank.npy"]

    def test_resumes(self, tmp_path, monkeypatch):
        prior, calls = small.prior(), []
        denoise = type(prior).denoise

        def dies(self, x_t, t):
            calls.append(len(x_t))
            if len(calls) == 3:
                raise RuntimeError("killed")
            return denoise(self, x_t, t)

        with monkeypatch.context() as patch:
            patch.setattr(type(prior), "denoise", dies)
            with pytest.raises(RuntimeError, match="killed"):
                build(out=tmp_path)
        with pytest.raises(
            CheckpointError, match=r"holds 12 of 20 evaluations; call Bank\.build again"
        ):
            Bank.open(tmp_path, prior)
        with open(tmp_path / "bank.npy", "ab") as file:
            file.write(b"half an entry")
        assert_same(build(out=tmp_path), build())

    def test_full_disk(self, tmp_path, monkeypatch):
        calls = []
        fsync = os.fsync

        def full(descriptor):
            calls.append(1)
            if len(calls) > 6:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(CheckpointError, match="the disk is full"):
                build(out=tmp_path)
        assert_same(build(out=tmp_path), build())

    def test_one_at_a_time(self, tmp_path):
        import threading

        failed = []

        def other():
            try:
                build(out=tmp_path)
            except FolderInUse as error:
                failed.append(error)

        with locked(tmp_path):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        assert failed
        assert_same(build(out=tmp_path), build())

    def test_another_bank(self, tmp_path):
        build(out=tmp_path)
        with pytest.raises(CheckpointError, match="holds another bank: seed was 0 and is 1"):
            build(out=tmp_path, seed=1)
        with pytest.raises(
            CheckpointError, match=r"made with the prior ramps-0 .* the prior given is ramps-1"
        ):
            Bank.open(tmp_path, small.prior(1))

    def test_of_other_images(self, tmp_path):
        build(out=tmp_path)
        with pytest.raises(
            CheckpointError, match=r"holds another bank: data\.fingerprint was \w+ and is \w+"
        ):
            Bank.build(small.prior(), small.images(seed=4), 20, out=tmp_path, progress=False)

    def test_without_a_fingerprint_goes_on(self, tmp_path):
        """As earlier versions wrote it."""
        build(out=tmp_path)
        path = tmp_path / "bank.json"
        written = json.loads(path.read_text())
        assert written["card"]["data"].pop("fingerprint")
        path.write_text(json.dumps({**written["card"], "done": written["done"]}))
        assert_same(Bank.open(tmp_path, small.prior()), build())
        assert_same(build(out=tmp_path), build())

    def test_damaged(self, tmp_path):
        build(out=tmp_path)
        content = (tmp_path / "bank.npy").read_bytes()
        (tmp_path / "bank.npy").write_bytes(content[:-5])
        with pytest.raises(CheckpointError, match=r"bank\.npy is truncated"):
            Bank.open(tmp_path, small.prior())
        with pytest.raises(CheckpointError, match="is truncated"):
            build(out=tmp_path)
        (tmp_path / "bank.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"bank\.json is damaged.*no JSON"):
            Bank.open(tmp_path, small.prior())
        (tmp_path / "bank.json").write_text(json.dumps({"a": 1}))
        with pytest.raises(CheckpointError, match=r"bank\.json is damaged"):
            Bank.open(tmp_path, small.prior())
        with pytest.raises(CheckpointError, match="holds no bank"):
            Bank.open(tmp_path / "none", small.prior())


class TestShards:
    @pytest.fixture(autouse=True)
    def small_shards(self, monkeypatch):
        monkeypatch.setattr(shards, "SHARD", 8)

    def test_another_size_of_batches_makes_the_same_shards(self, tmp_path):
        entries, card = build().entries, build()._card
        for size in (1, 5, 8, 20):
            store = shards.Shards.grow(tmp_path / str(size), card)
            for start in range(0, 20, size):
                store.append(entries[start : start + size])
        assert (
            len({(tmp_path / str(size) / "bank.json").read_bytes() for size in (1, 5, 8, 20)}) == 1
        )
        assert len(json.loads((tmp_path / "5" / "bank.json").read_text())["shards"]) == 3

    def test_a_shard_is_verified_when_it_is_first_read(self, tmp_path):
        build(out=tmp_path)
        path = tmp_path / "bank.npy"
        content = bytearray(path.read_bytes())
        content[-3] ^= 4
        path.write_bytes(content)
        bank = Bank.open(tmp_path, small.prior())
        assert len(bank.batch([0, 9, 15], Noise(range(3))).x_0) == 3
        with pytest.raises(CheckpointError, match="the entries from 16 do not have the hash"):
            bank.batch([3, 19], Noise(range(2)))
        content[20] ^= 1
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="header"):
            Bank.open(tmp_path, small.prior())

    def test_a_bank_that_grows_is_verified_too(self, tmp_path, monkeypatch):
        grown = shards.Shards.append
        monkeypatch.setattr(
            shards.Shards,
            "append",
            lambda self, entries: (
                (_ for _ in ()).throw(KeyboardInterrupt)
                if self.done == 12
                else grown(self, entries)
            ),
        )
        with pytest.raises(KeyboardInterrupt):
            build(out=tmp_path)
        monkeypatch.undo()
        path = tmp_path / "bank.npy"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with monkeypatch.context() as patch:
            patch.setattr(shards, "SHARD", 8)
            with pytest.raises(CheckpointError, match="the entries from 8 do not have the hash"):
                build(out=tmp_path)
            path.write_bytes(whole)
            assert_same(build(out=tmp_path), build())


class TestOutOfMemory:
    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory."),
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            MemoryError(),
        ],
    )
    def test_says_which_batch_size_to_try(self, error, monkeypatch, tmp_path):
        denoise = type(small.prior()).denoise

        def full(self, x_t, t):
            if len(x_t) > 3:
                raise error
            return denoise(self, x_t, t)

        with monkeypatch.context() as patch:
            patch.setattr(type(small.prior()), "denoise", full)
            with pytest.raises(
                OutOfMemory,
                match="no room for batch_size=6; try batch_size=3, which makes the same bank",
            ):
                build(out=tmp_path)
            assert_same(build(out=tmp_path, batch_size=3), build(batch_size=3))

    def test_one_at_a_time(self, monkeypatch):
        def full(self, x_t, t):
            raise MemoryError

        monkeypatch.setattr(type(small.prior()), "denoise", full)
        with pytest.raises(
            OutOfMemory, match="no room for batch_size=1; one evaluation at a time is the least"
        ):
            build(batch_size=1)

    def test_no_room_for_the_bank_itself(self):
        with pytest.raises(
            OutOfMemory, match="1000000000000000 evaluations in memory; give a folder `out`"
        ):
            build(10**15)


def test_a_seed_of_another_kind_of_integer(tmp_path):
    assert_same(build(seed=np.int64(3), out=tmp_path), build(seed=3))


def test_empty():
    with pytest.raises(InvalidInput, match="evaluations: got 0"):
        build(0)
