import hashlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deft.storage.fingerprint import digest, fingerprint, of_file, of_state, of_values

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(PLAIN | st.binary(), max_size=4), st.lists(PLAIN | st.binary(), max_size=4))
def test_different_parts_have_different_hashes(a, b):
    def plain(parts):
        return [
            x if isinstance(x, bytes) else (type(x).__name__, json.dumps(x, sort_keys=True))
            for x in parts
        ]

    assert (fingerprint(*a) == fingerprint(*b)) == (plain(a) == plain(b))


def test_parts_do_not_run_into_each_other():
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("abc")
    assert fingerprint(b"a") != fingerprint("a") != fingerprint(["a"])


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64],
)
def test_every_value_type_and_shape_of_a_tensor_counts(dtype):
    x = torch.ones(2, 3).to(dtype)
    assert fingerprint(x) == fingerprint(x.clone())
    changed = x.clone()
    changed[0, 0] = 0
    assert (
        len(
            {
                fingerprint(x),
                fingerprint(changed),
                fingerprint(x.reshape(3, 2)),
                fingerprint(x.T.contiguous().T.reshape(6)),
            }
        )
        == 4
    )
    assert fingerprint(x.T) == fingerprint(x.T.contiguous())


def test_arrays_and_empty_tensors():
    assert fingerprint(np.ones(3, np.float32)) == fingerprint(torch.ones(3))
    assert fingerprint(torch.ones(0, 2)) != fingerprint(torch.ones(2, 0))


def test_half_precision_makes_a_network_and_its_file_the_same():
    layer = torch.nn.Linear(3, 2)
    before = of_state(layer)
    layer.load_state_dict(
        {name: value.half().float() for name, value in layer.state_dict().items()}
    )
    assert of_state(layer) == before
    assert of_values(torch.tensor([1.0, 1e-9])) == of_values(torch.tensor([1.0, 0.0]))


def test_files(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert (
        of_file(tmp_path / "a")
        == digest(b"abc")
        == hashlib.sha256(b"abc").hexdigest()
        == digest("a", b"bc")
    )
