import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from deft.errors import InvalidInput
from deft.priors.remote import wire


def body(header: object, content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_there_and_back():
    tensors = {
        "x": torch.arange(6.0).reshape(2, 3),
        "t": torch.tensor([0.5], dtype=torch.float64),
        "labels": torch.tensor([3, 4]),
        "mask": torch.tensor([[True, False]]),
        "half": torch.ones(2, 1).bfloat16(),
    }
    content = wire.packed(tensors)
    found = wire.unpacked(content)
    assert found.keys() == tensors.keys()
    for name, value in load(content).items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"abc",
        body({}, length=0),
        body({"x": ENTRY}, bytes(8), length=1 << 60),
        body({"x": ENTRY}, bytes(8), length=10_000),
        body(b"[" * 60_000),
        body(b"\xff\xfe\x00"),
        body(b"7" * 5000),
        body([1, 2]),
        body({"x": None}),
        body({"__metadata__": {"a": "b"}}),
        body({f"x{i}": ENTRY for i in range(40)}, bytes(8)),
        body({"x": {**ENTRY, "dtype": "U9"}}, bytes(8)),
        body({"x": {**ENTRY, "dtype": ["F32"]}}, bytes(8)),
        body({"x": {**ENTRY, "shape": [-2]}}, bytes(8)),
        body({"x": {**ENTRY, "shape": [0]}}, bytes(8)),
        body({"x": {**ENTRY, "shape": [1 << 40, 1 << 40]}}, bytes(8)),
        body({"x": {**ENTRY, "shape": [True, 2]}}, bytes(8)),
        body({"x": {**ENTRY, "shape": 2}}, bytes(8)),
        body({"x": {**ENTRY, "data_offsets": [0, 4]}}, bytes(8)),
        body({"x": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),
        body({"x": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)),
        body({"x": ENTRY, "y": ENTRY}, bytes(8)),
        body({"x": ENTRY}, bytes(7)),
        body({"x": ENTRY}, bytes(9)),
        body({"x": {**ENTRY, "more": 1}}, bytes(8)),
        body({"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\x00\x02"),
    ],
)
def test_what_is_damaged_is_refused(wrong):
    with pytest.raises(InvalidInput, match="body"):
        wire.unpacked(wrong)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 120), st.binary(min_size=1, max_size=8), st.sampled_from(["set", "cut", "add"])
)
def test_a_changed_body_is_read_as_safetensors_reads_it_or_refused(place, content, how):
    whole = wire.packed({"x_t": torch.ones(1, 2, 2), "t": torch.tensor([0.5])})
    place = min(place, len(whole) - 1)
    rest = {"set": whole[place + len(content) :], "cut": b"", "add": whole[place:]}[how]
    changed = whole[:place] + content + rest
    try:
        found = wire.unpacked(changed)
    except InvalidInput:
        return
    for name, value in load(changed).items():
        assert torch.equal(found[name], value) or value.isnan().any()


def test_what_is_not_finite_is_refused():
    wire.check_finite("x", torch.ones(2))
    wire.check_finite("x", torch.ones(2, dtype=torch.long))
    for value in (torch.nan, torch.inf):
        with pytest.raises(InvalidInput, match="x: got NaN or infinite"):
            wire.check_finite("x", torch.tensor([1.0, value]))
