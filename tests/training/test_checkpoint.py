import errno
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch

from deft.errors import CheckpointError
from deft.htransforms.base import NoConditioning
from deft.operators import Inpainting as InpaintingOperator
from deft.problems import Fixed, Inpainting
from deft.storage import tensors
from deft.training import checkpoint, places
from tests.training import small

PROBLEM = Inpainting(masks="box", sigma_y=0.05)


@pytest.fixture
def saved(tmp_path):
    h = small.h_transform()
    with torch.no_grad():
        for p in h.parameters():
            p.add_(0.1 * torch.randn_like(p))
    path = tmp_path / "h.safetensors"
    checkpoint.save(
        path,
        h,
        small.prior(),
        {"problem": PROBLEM.card(), "training": {"steps": 5}, "metrics": {"psnr": 20.5}},
    )
    return path, h


def test_round_trip(saved):
    path, h = saved
    again, card = checkpoint.load(path, small.prior(), problem=PROBLEM)
    assert not small.differing(again.state_dict(), h.state_dict())
    assert type(again) is type(h)
    assert again.config == h.config
    assert card["training"] == {"steps": 5}
    assert card["metrics"] == {"psnr": 20.5}
    assert card["prior"]["name"] == "ramps-0"
    assert card["schedule"]["class"] == "VPLinear"
    assert card["format"] == checkpoint.FORMAT


def test_card_is_read_without_weights(saved):
    code = (
        "import sys; from deft.storage.tensors import header; "
        f"print(header({str(saved[0])!r}).card['training'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'steps': 5} False"
    assert checkpoint.read_card(saved[0])["problem"] == json.loads(json.dumps(PROBLEM.card()))


def test_another_prior(saved):
    with pytest.raises(
        CheckpointError,
        match=r"trained for the prior ramps-0 \(hash [0-9a-f]{16}.*the prior given is ramps-1 "
        r"\(hash [0-9a-f]{16}",
    ):
        checkpoint.load(saved[0], small.prior(1))


def test_the_same_prior_in_half_precision_is_the_same(saved):
    from copy import deepcopy

    half = deepcopy(small.prior()).half().float()
    checkpoint.load(saved[0], half)


def test_another_problem(saved):
    with pytest.raises(
        CheckpointError,
        match=r"trained for Inpainting\(.*sigma_y=0.05\); it was asked to serve Fixed\(.*LeftHalf",
    ):
        checkpoint.load(saved[0], small.prior(), problem=Fixed(small.LeftHalf(), sigma_y=0.05))
    with pytest.raises(CheckpointError, match=r"sigma_y=0.05.*sigma_y=0.2"):
        checkpoint.load(saved[0], small.prior(), problem=Inpainting(masks="box", sigma_y=0.2))


def test_another_operator_of_a_users_own(saved, tmp_path):
    _, h = saved
    masks = torch.ones(2, 1, 1, 8, 8)
    masks[1, ..., 0] = 0
    first, other = (Fixed(InpaintingOperator(mask), sigma_y=0.1) for mask in masks)
    path = tmp_path / "fixed.safetensors"
    checkpoint.save(path, h, small.prior(), {"problem": first.card()})
    checkpoint.load(path, small.prior(), problem=first)
    with pytest.raises(
        CheckpointError,
        match=r"trained for Fixed\(.*fingerprint=[0-9a-f]{16}.*serve "
        r"Fixed\(.*fingerprint=[0-9a-f]{16}",
    ):
        checkpoint.load(path, small.prior(), problem=other)
    card = first.card()
    del card["args"]["fingerprint"], card["args"]["signals"]
    checkpoint.save(path, h, small.prior(), {"problem": card})  # as earlier versions wrote it
    checkpoint.load(path, small.prior(), problem=other)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda b: b"", "is empty"),
        (lambda b: b[:5], "no safetensors file"),
        (lambda b: b[:100], "truncated within its header"),
        (lambda b: b[:-10], "is truncated: it has"),
        (lambda b: b + b"more", "is truncated|bytes and should have"),
        (lambda b: b"\x89PNG\r\n\x1a\n" + b[8:], "no safetensors file"),
        (lambda b: b[:8] + b"{" + b"x" * (len(b) - 9), "no safetensors file, or a damaged one"),
        (lambda b: pickle.dumps({"a": 1}) + b"0" * 100, "is a pickle"),
    ],
)
def test_damaged(saved, spoil, says):
    path, _ = saved
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointError, match=says) as found:
        checkpoint.load(path, small.prior())
    assert "h.safetensors" in str(found.value)


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoint.load(tmp_path / "none.safetensors", small.prior())


class TestLocated:
    def test_a_run_folder_a_file_and_the_name_of_what_ships(self, saved):
        path, _ = saved
        assert places.located(path) == path
        assert places.located(path.parent) == path.parent / "h.safetensors"
        for name in places.shipped():
            assert checkpoint.read_card(places.located(name))["prior"]["name"] in name

    def test_a_misspelt_name(self):
        with pytest.raises(
            CheckpointError,
            match=r"no h-transform of that name ships.*did you mean.* h-ct-128-views-60",
        ):
            places.located("h-ct-128-view-60")


def test_foreign_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="is a safetensors file but no deft h-transform"):
        checkpoint.load(tmp_path / "a.safetensors", small.prior())
    save_file(
        {"a": torch.zeros(2)},
        tmp_path / "a.safetensors",
        metadata={"kind": "deft h-transform", "card": "{"},
    )
    with pytest.raises(CheckpointError, match="text that is no JSON"):
        checkpoint.load(tmp_path / "a.safetensors", small.prior())


def test_a_training_state_is_told_and_its_average_is_loaded(saved, tmp_path):
    h = small.h_transform()
    small.run(h, out=tmp_path, patience=None)
    path = tmp_path / "state.safetensors"
    with pytest.raises(
        CheckpointError, match=r"no deft h-transform: it is a deft training state\."
    ):
        checkpoint.load(path, small.prior())
    assert not small.differing(
        checkpoint.load_average(path, small.prior()).state_dict(), h.state_dict()
    )
    with pytest.raises(CheckpointError, match="trained for the prior ramps-0"):
        checkpoint.load_average(path, small.prior(1))
    with pytest.raises(CheckpointError, match="no deft training state: it is a deft h-transform"):
        checkpoint.load_average(saved[0], small.prior())


def rewritten(path, change):
    """The same file with another card."""
    weights, head = tensors.read(path, checkpoint.KIND)
    change(head.card)
    tensors.write(path, weights, head.card, checkpoint.KIND)


def _of(name, **args):
    return lambda card: card["architecture"].update(
        **{"class": name, "args": {**card["architecture"]["args"], **args}}
    )


@pytest.mark.parametrize(
    ("change", "given", "expected"),
    [
        (_of("deft.nowhere.Net"), "deft.nowhere.Net", "a class of this library"),
        (_of("os.system"), "os.system", "a module that you name in this call"),
        (_of("DPS"), "DPS", "a h-transform"),
        (_of("LearnedHTransform", channels=[8, 8]), None, "tensors differ"),
        (_of("LearnedHTransform", channels=[200_000]), 200_000, "a whole number"),
        (_of("LearnedHTransform", channels=[-5]), -5, "a whole number"),
        (
            _of(
                "LearnedHTransform",
                channels=[16_384] * 16,
                attention=[False] * 16,
                event_shape=[1, 8, 8],
            ),
            None,
            "tensors differ",
        ),
        (_of("LearnedHTransform", channels=8), 8, "a list"),
        (_of("LearnedHTransform", event_shape=[1, 8, 9]), [1, 8, 9], "that of the prior"),
        (_of("LearnedHTransform", nonsense=1), "nonsense", "one of event_shape"),
        (_of("LearnedHTransform", scale=2.0), 2.0, "it comes with the prior"),
        (
            lambda card: card.update(architecture=["LearnedHTransform"]),
            ["LearnedHTransform"],
            "a h-transform",
        ),
        (lambda card: card.update(architecture=None), None, "a h-transform"),
        (lambda card: card.pop("prior"), "nothing", "an object"),
        (lambda card: card["prior"].update(event_shape="8x8"), "8x8", "a list"),
        (lambda card: card.update(problem="Inpainting"), "Inpainting", "a problem"),
        (lambda card: card.update(training=[1]), [1], "an object"),
        (lambda card: card.update(metrics={"loss": "low"}), "low", "a number"),
        (lambda card: card.update(prior_from=7), 7, "a text"),
        (lambda card: card.update(prior_from="x" * 10_000), "x" * 10_000, "a text"),
    ],
)
def test_unfit_cards(saved, change, given, expected):
    path, _ = saved
    rewritten(path, change)
    with pytest.raises(CheckpointError) as raised:
        checkpoint.load(path, small.prior())
    assert "h.safetensors" in str(raised.value)
    assert given is None or raised.value.given == given
    assert expected in raised.value.expected


def test_a_later_format(saved, monkeypatch):
    path, h = saved
    monkeypatch.setattr(tensors, "FORMAT", 99)
    checkpoint.save(path, h, small.prior(), {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"has format 99 .*update deft-diffusion"):
        checkpoint.load(path, small.prior())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(saved, value):
    path, h = saved
    weights, head = tensors.read(path, checkpoint.KIND)
    name = sorted(weights)[3]
    weights[name].view(-1)[0] = value
    tensors.write(path, weights, head.card, checkpoint.KIND)
    with pytest.raises(CheckpointError) as raised:
        checkpoint.load(path, small.prior())
    assert name in raised.value.given
    with torch.no_grad():
        next(h.parameters()).view(-1)[0] = value
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        checkpoint.save(path, h, small.prior(), {})
    assert path.read_bytes() == before


def test_a_run_that_has_not_ended_is_told(tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as raised:
        places.located(tmp_path)
    assert "has not ended" in raised.value.given
    assert "--initial" in raised.value.advice


def test_without_a_config(tmp_path):
    with pytest.raises(CheckpointError, match="NoConditioning has no `config`"):
        checkpoint.save(tmp_path / "h.safetensors", NoConditioning(), small.prior(), {})


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_full_disk_leaves_the_earlier_file(saved, monkeypatch, stage):
    path = saved[0]
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, stage, full)
    with pytest.raises(
        CheckpointError,
        match=r"the disk is full: .*h\.safetensors could not be written; the earlier .* is intact",
    ):
        checkpoint.save(path, small.h_transform(3), small.prior(), {})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["h.safetensors"]


def test_read_only_folder(saved, monkeypatch):
    def refused(*_):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(CheckpointError, match=r"could not be written \(Permission denied\)"):
        checkpoint.save(saved[0], saved[1], small.prior(), {})


class TestReadWeights:
    def test_safetensors(self, saved):
        path, h = saved
        assert not small.differing(places.read_weights(path), h.state_dict())

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda d: d,
            lambda d: {"state_dict": d, "epoch": 3},
            lambda d: {"ema": d, "config": {"a": 1}},
        ],
    )
    def test_pt(self, tmp_path, wrap):
        weights = {"a": torch.randn(3), "b": torch.randn(2, 2)}
        torch.save(wrap(weights), tmp_path / "w.pt")
        assert not small.differing(places.read_weights(tmp_path / "w.pt"), weights)

    def test_code_is_not_executed(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "executed"),)

        torch.save({"a": Evil()}, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="holds more than weights, which is not executed"):
            places.read_weights(tmp_path / "w.pt")
        assert not (tmp_path / "executed").exists()

    def test_no_tensors(self, tmp_path):
        torch.save({"x": 1}, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match=r"holds no dictionary of tensors.*it holds x"):
            places.read_weights(tmp_path / "w.pt")

    def test_damaged(self, tmp_path):
        (tmp_path / "w.pt").write_bytes(b"nothing")
        with pytest.raises(CheckpointError, match="damaged"):
            places.read_weights(tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="does not exist"):
            places.read_weights(tmp_path / "none.pt")
