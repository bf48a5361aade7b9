"""Philox 4x32-10 against its published vectors (Salmon et al., SC 2011; the known answers of
Random123).
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.noise import Noise
from deft.philox import normal, philox, uniform, words

ONES = 0xFFFFFFFF
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
word = st.integers(0, ONES)


def of(*values):
    return tuple(torch.tensor(value) for value in values)


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter, key, expected):
    assert tuple(int(value) for value in philox(of(*counter), of(*key))) == expected


def by_hand(counter, key):
    """The same with Python's integers, which have no width."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & ONES, (p >> 32) ^ c[3] ^ k[1], p & ONES]
        k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
    return tuple(c)


@given(st.lists(st.tuples(word, word, word, word, word, word), min_size=1, max_size=4))
@settings(max_examples=50)
def test_a_batch_is_the_integers_of_python(rows):
    columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
    drawn = torch.stack(philox(tuple(columns[:4]), tuple(columns[4:])), -1)
    assert [tuple(row) for row in drawn.tolist()] == [by_hand(row[:4], row[4:]) for row in rows]


@pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 9])
def test_a_draw_has_the_size_that_was_asked(number):
    keys = torch.tensor([[1, 2], [3, 4]])
    assert normal(keys, 7, number, torch.float32).shape == (2, number)
    assert uniform(keys, 7, number, torch.float32).shape == (2, number)


def test_draws_of_two_sizes_at_one_step_are_independent():
    """As a signal and the noise of its measurement may be, where a caller gives both the same
    source.
    """
    keys = torch.stack([torch.arange(20_000), torch.zeros(20_000, dtype=torch.int64)], 1)
    drawn = torch.stack(
        [
            normal(keys, 0, 2, torch.float32)[:, 0],
            normal(keys, 0, 4, torch.float32)[:, 0],
            uniform(keys, 0, 2, torch.float32)[:, 0],
        ]
    )
    assert float((torch.corrcoef(drawn) - torch.eye(3)).abs().max()) < 0.03  # four standard errors


def test_draws_of_two_precisions_agree_to_rounding():
    noise = Noise(range(100))
    for draw in ("normal", "uniform"):
        single, double = (
            getattr(noise.to("cpu", dtype), draw)(3, (50,))
            for dtype in (torch.float32, torch.float64)
        )
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_normal_draws_are_normal():
    z = Noise(range(1000)).normal(0, (1001,)).double().flatten()
    n = z.numel()
    for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs(float((z**power).mean()) - moment) < 4.5 * math.sqrt(variance / n)
    for level in (-3.0, -1.0, 0.3, 2.0):
        share = 0.5 * (1 + math.erf(level / math.sqrt(2)))
        assert abs(float((z < level).double().mean()) - share) < 4.5 * math.sqrt(
            share * (1 - share) / n
        )


def test_uniform_draws_fill_the_unit_interval_and_never_reach_one():
    keys = torch.stack([torch.arange(1000), torch.zeros(1000, dtype=torch.int64)], 1)
    u = uniform(keys, 0, 1000, torch.float32)
    assert 0 <= float(u.min()) < 1e-5
    assert 1 - 1e-5 < float(u.max()) < 1
    counts = torch.histc(u, 20, 0, 1)
    assert (
        float(((counts - 5e4).square() / 5e4).sum()) < 45
    )  # chi-squared with 19 degrees of freedom: p = 0.0007


def test_a_draw_stays_on_its_device():
    """The meta device takes every operation and refuses what would have to be read back."""
    drawn = Noise([1, 2], "meta")
    assert drawn.normal(0, (3,)).device.type == "meta"
    assert drawn.uniform(0, (3,)).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_integers_of_a_gpu_are_those_of_the_cpu():
    keys = torch.randint(0, ONES, (64, 2))
    ours, theirs = words(keys, 5, 0, 1000), words(keys.cuda(), 5, 0, 1000)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(ours, theirs))
