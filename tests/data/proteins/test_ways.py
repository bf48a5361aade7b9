"""Vectors of lengths are counted and drawn as by trying all of them."""

from collections import Counter
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from deft.data.proteins.ways import Run, Ways

RANGES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted).map(tuple), min_size=3, max_size=6
)


def brute(ways, low, high):
    """All of them, by trying."""
    vectors = product(*(range(least, most + 1) for least, most in ways.ranges))
    return [
        vector
        for vector in vectors
        if low <= sum(vector) <= high
        and all(sum(vector[run.start : run.end]) >= run.least for run in ways.runs)
    ]


@given(RANGES, st.integers(1, 9), st.integers(0, 6), st.lists(st.floats(0, 0.999), min_size=7))
@settings(max_examples=150, deadline=None)
def test_runs_that_have_to_make_enough(ranges, least, second, draws):
    runs = (Run(0, 2, least), Run(2, len(ranges), second))
    ways = Ways(tuple(ranges), runs, 24)
    for low, high in ((0, 24), (5, 9)):
        feasible = brute(ways, low, high)
        assert ways.total(low, high) == len(feasible)
        if feasible:
            assert ways.drawn(low, high, draws) in feasible


def test_draws_over_a_fine_grid_find_each_vector_as_often():
    """The draws that lead to a vector fill 1 / count of the cube: here by its midpoints."""
    ways = Ways(((0, 2), (0, 3), (1, 1)), (Run(0, 2, 3),), 6)
    feasible = brute(ways, 0, 6)
    grid = [(k + 0.5) / 12 for k in range(12)]
    drawn = Counter(ways.drawn(0, 6, draws) for draws in product(grid, grid, grid, [0.5]))
    assert set(drawn) == set(feasible)
    assert set(drawn.values()) == {12**3 // len(feasible)}
