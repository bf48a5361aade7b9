"""Where tiles lie, and that their windows sum to one."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.priors.tiles import Tiles, room

DOUBLE = torch.float64
NOISY = torch.zeros(1)  # a level


def rebuilt(tiles, x, level=NOISY):
    """sum_k C_k^T (w_k C_k x)."""
    total = torch.zeros_like(x)
    for cut in tiles.cuts(len(x), x, level):
        cut.add(total, cut.of(x))
    return total


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 16),
    overlap=st.integers(0, 15),
    batch=st.integers(1, 7),
    level=st.floats(-16, 16),
)
def test_any_size_is_covered_and_windows_sum_to_one(height, width, size, overlap, batch, level):
    shape, tile = (2, height, width), (2, size, size)
    if overlap >= size or min(height, width) < size:
        with pytest.raises(InvalidInput):
            Tiles(shape, tile, overlap, batch)
        return
    tiles = Tiles(shape, tile, overlap, batch)
    for starts, n in zip(tiles.offsets, shape[1:]):
        assert starts[0] == 0
        assert starts[-1] == n - size
        steps = [b - a for a, b in pairwise(starts)]
        assert all(0 < step <= size - overlap for step in steps)  # `overlap` is shared at least
    x = torch.randn(2, *shape, dtype=DOUBLE)
    torch.testing.assert_close(rebuilt(tiles, x), x, rtol=0, atol=1e-12)
    log_snr = torch.tensor([level])
    torch.testing.assert_close(rebuilt(tiles, x, log_snr), x, rtol=0, atol=1e-12)
    fixed = Tiles(shape, tile, overlap, batch, "fixed")
    sizes = [len(cut) for cut in fixed.cuts(2, x, log_snr)]
    assert sum(sizes) == 2 * len(fixed)
    assert max(sizes) <= batch
    stride = size - overlap
    for axis, n in enumerate(shape[1:]):
        starts = sorted({p[axis][0] for cut in tiles.cuts(1, x, log_snr) for p in cut.places})
        assert (starts[0], starts[-1]) == (0, n - size)
        assert all(0 < b - a <= stride for a, b in pairwise(starts))
        assert all(start % math.gcd(8, stride, stride // 2) == 0 for start in starts[:-1])
        assert len(starts) <= len(fixed.offsets[axis]) + 1


def first(tiles, level):
    """Where the second tile begins, along each axis."""
    cuts = tiles.cuts(1, torch.zeros(1), torch.tensor([level]))
    places = [p for cut in cuts for p in cut.places]
    return tuple(sorted({p[axis][0] for p in places})[1] for axis in range(2))


def test_tiles_move_with_the_level_alone_and_to_every_place():
    tiles, still = (Tiles((1, 256, 384), (1, 64, 64), 16, 1, x) for x in ("moving", "fixed"))
    levels = torch.linspace(-10, 10, 200).tolist()
    seen = [first(tiles, level) for level in levels]
    for axis in range(2):
        counts = Counter(place[axis] for place in seen)
        assert sorted(counts) == [8, 16, 24, 32, 40, 48]
        assert min(counts.values()) >= 15  # of 33 on average
        for a, b in pairwise(place[axis] for place in seen):
            assert (b - a) % 48 in (0, 8, 40)  # to a neighbouring place
    assert {first(still, level) for level in levels} == {(48, 48)}
    assert first(tiles, 1.0) == first(tiles, 1.0 + 1e-5)  # rounding moves no tile


def test_each_picture_has_the_tiles_of_its_own_level():
    tiles, x = Tiles((1, 9, 11), (1, 8, 8), 2), torch.randn(2, 1, 9, 11)
    levels = torch.tensor([-3.0, 2.5])

    def of(signals, log_snr):
        return [
            (i, tuple(start for start, _ in places))
            for cut in tiles.cuts(signals, x, log_snr)
            for i, places in zip(cut.owner.tolist(), cut.places)
        ]

    both = of(2, levels)
    for i in range(2):
        assert [at for k, at in both if k == i] == [at for _, at in of(1, levels[i : i + 1])]


def test_sequences_and_volumes_have_tiles_too():
    for shape, tile in (((3, 21), (3, 8)), ((1, 9, 7, 8), (1, 4, 4, 4))):
        x = torch.randn(2, *shape, dtype=DOUBLE)
        torch.testing.assert_close(rebuilt(Tiles(shape, tile), x), x, rtol=0, atol=1e-12)


def test_windows_fade_where_a_border_lies_within_the_picture():
    tiles = Tiles((1, 64, 112), (1, 64, 64), 16, layout="fixed")
    window = torch.zeros(1, 1, 64, 112, dtype=DOUBLE)
    cut = next(tiles.cuts(1, window, NOISY))
    cut.add(window, torch.stack([torch.ones(1, 64, 64), torch.zeros(1, 64, 64)]).double())
    row = window[0, 0, 0]
    assert bool((row[:48] == 1).all())
    assert bool((row[64:] == 0).all())
    assert float(row[63]) < 0.01
    assert bool((row.diff() <= 0).all())


def test_what_is_shared_by_all_pictures_is_cut_once_for_each():
    tiles = Tiles((1, 6, 4), (1, 4, 4), 2, layout="fixed")
    shared, each = torch.randn(1, 3, 6, 4), torch.tensor([1.0, 2.0])
    cuts = list(tiles.cuts(2, shared, NOISY))
    assert torch.cat([cut.of(shared) for cut in cuts]).shape == (4, 3, 4, 4)
    assert torch.cat([cut.each(each) for cut in cuts]).tolist() == [1, 1, 2, 2]
    assert all(len(cut.each(each[:1])) == 1 for cut in cuts)


def test_a_micro_batch_is_what_the_memory_holds():
    cpu = torch.device("cpu")
    assert 1 <= room((3, 64, 64), cpu) <= 16
    assert room((3, 1 << 14, 1 << 14), cpu) == 1


@pytest.mark.parametrize(
    ("shape", "more", "what"),
    [
        ((3, 32, 100), {}, "the picture"),
        ((1, 100, 100), {}, "event_shape"),
        ((3, 100), {}, "event_shape"),
        ((3, 100, 0), {}, "event_shape"),
        ((3, 100, 100), {"overlap": 64}, "overlap"),
        ((3, 100, 100), {"overlap": -1}, "overlap"),
        ((3, 100, 100), {"batch": 0}, "batch"),
    ],
)
def test_what_has_no_tiles_is_refused(shape, more, what):
    with pytest.raises(InvalidInput) as error:
        Tiles(shape, (3, 64, 64), **more)
    assert error.value.what == what
    with pytest.raises(InvalidInput):
        Tiles((5,), (5,))
