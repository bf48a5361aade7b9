import os
import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import pytest
import torch

from deft.errors import CheckpointError
from deft.storage import lightning, weights_only
from tests.storage.test_weights_only import WEIGHTS, Evil

MODULE = "lightning_that_is_not_installed"


def old(path, weights=WEIGHTS, **more):
    """A file as old versions write it: the class of a callback is a key, and one an object."""
    module = ModuleType(MODULE)
    callback = type("ModelCheckpoint", (), {"__module__": MODULE})
    module.ModelCheckpoint = callback
    sys.modules[MODULE] = module
    try:
        made = callback()
        made.best = torch.tensor(1.5)
        content = {
            "epoch": 3,
            "pytorch-lightning_version": "1.4.9",
            "state_dict": OrderedDict(weights),
            "callbacks": {callback: {"best_model_score": torch.tensor(0.1)}, "other": made},
            **more,
        }
        torch.save(content, path)
    finally:
        del sys.modules[MODULE]
    return path


def test_the_weights_of_a_file_with_classes(tmp_path):
    path = old(tmp_path / "w.ckpt")
    with pytest.raises(weights_only.NeedsCode, match=f"needs the code of {MODULE}"):
        weights_only.contents(path)
    found = weights_only.named(path, lightning.contents(path))
    assert list(found) == list(WEIGHTS)
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


def test_a_file_without_classes_is_read_as_it_is(tmp_path):
    torch.save({"state_dict": WEIGHTS, "epoch": 3}, tmp_path / "w.ckpt")
    assert lightning.contents(tmp_path / "w.ckpt")["epoch"] == 3


def test_nothing_of_it_is_executed(tmp_path):
    made = tmp_path / "executed"
    torch.save({"state_dict": WEIGHTS, "a": Evil(made)}, tmp_path / "w.ckpt")
    for path in (tmp_path / "w.ckpt", old(tmp_path / "old.ckpt", callback=Evil(made))):
        with pytest.raises(CheckpointError, match=r"not executed.*needs the code of"):
            lightning.contents(path)
    assert not made.exists()


def makes(folder):
    """What a file could ask for in a module that is there."""
    os.mkdir(folder)


class Asks:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return makes, (self.folder,)


def test_a_function_that_can_be_imported_is_not_called_either(tmp_path):
    path = old(tmp_path / "w.ckpt", asks=Asks(tmp_path / "executed"))
    assert set(weights_only.named(path, lightning.contents(path))) == set(WEIGHTS)
    assert not (tmp_path / "executed").exists()
    torch.load(path, weights_only=False, pickle_module=_Plain)  # the file would have done it
    assert (tmp_path / "executed").exists()


class _Plain:
    """pickle, with something for the class that is not installed."""

    load, loads, Pickler = pickle.load, pickle.loads, pickle.Pickler

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            return lightning.Inert if module == MODULE else super().find_class(module, name)


def test_code_within_the_weights_is_refused(tmp_path):
    path = old(tmp_path / "w.ckpt", weights={**WEIGHTS, "more": Asks(tmp_path / "executed")})
    with pytest.raises(CheckpointError, match="no dictionary of tensors"):
        weights_only.named(path, lightning.contents(path))
    assert not (tmp_path / "executed").exists()


def test_the_names_are_no_longer_known_afterwards(tmp_path):
    path, before = old(tmp_path / "w.ckpt"), set(torch.serialization.get_safe_globals())
    lightning.contents(path)
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(weights_only.NeedsCode):
        weights_only.contents(path)
