"""Where tiles lie, and that their windows sum to one."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.priors.tiles import Tiles, room

DOUBLE = torch.float64


def rebuilt(tiles, x):
    """sum_k C_k^T (w_k C_k x)."""
    total = torch.zeros_like(x)
    for cut in tiles.cuts(len(x), x):
        cut.add(total, cut.of(x))
    return total


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 16),
    overlap=st.integers(0, 15),
    batch=st.integers(1, 7),
)
def test_any_size_is_covered_and_windows_sum_to_one(height, width, size, overlap, batch):
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
    sizes = [len(cut) for cut in tiles.cuts(2, x)]
    assert sum(sizes) == 2 * len(tiles)
    assert max(sizes) <= batch


def test_sequences_and_volumes_have_tiles_too():
    for shape, tile in (((3, 21), (3, 8)), ((1, 9, 7, 8), (1, 4, 4, 4))):
        x = torch.randn(2, *shape, dtype=DOUBLE)
        torch.testing.assert_close(rebuilt(Tiles(shape, tile), x), x, rtol=0, atol=1e-12)


def test_windows_fade_where_a_border_lies_within_the_picture():
    tiles = Tiles((1, 64, 112), (1, 64, 64), 16)
    window = torch.zeros(1, 1, 64, 112, dtype=DOUBLE)
    cut = next(tiles.cuts(1, window))
    cut.add(window, torch.stack([torch.ones(1, 64, 64), torch.zeros(1, 64, 64)]).double())
    row = window[0, 0, 0]
    assert bool((row[:48] == 1).all())
    assert bool((row[64:] == 0).all())
    assert float(row[63]) < 0.01
    assert bool((row.diff() <= 0).all())


def test_what_is_shared_by_all_pictures_is_cut_once_for_each():
    tiles = Tiles((1, 6, 4), (1, 4, 4), 2)
    shared, each = torch.randn(1, 3, 6, 4), torch.tensor([1.0, 2.0])
    cuts = list(tiles.cuts(2, shared))
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
