"""Layouts are those of both ranges, each as likely as any other."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.data.proteins import MotifProblem, Residue, Scaffold, Segment
from deft.data.proteins.parts import fewest_between, length_range
from tests.data.proteins.made import helix
from tests.refusal import refused


def segment(n, first=1, group=0, chain="A", shift=0.0):
    """A segment of a helix."""
    return Segment(
        tuple(
            Residue(chain, first + i, "", "ALA", {"CA": place})
            for i, place in enumerate(helix(n, shift))
        ),
        group,
    )


def brute(problem):
    """All layouts, by trying."""
    low, high = problem.length or (0, 10_000)
    ranges = [range(part.low, part.high + 1) for part in problem.parts]
    return [lengths for lengths in product(*ranges) if low <= sum(lengths) <= high]


RANGES = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)


@given(st.lists(RANGES, min_size=2, max_size=4), st.integers(8, 30), st.integers(0, 12))
@settings(max_examples=60)
def test_layouts_are_counted(ranges, low, more):
    gaps = [Scaffold(*ends) for ends in ranges]
    parts = [gaps[0], segment(4)]
    for i, gap in enumerate(gaps[1:]):
        parts += [gap, segment(2, group=i + 1)]
    problem_of = lambda: MotifProblem("made", tuple(parts), (low, low + more))  # noqa: E731
    shortest, longest = sum(p.low for p in parts), sum(p.high for p in parts)
    if shortest > low + more or longest < low:
        refused(
            problem_of,
            f"{low} to {low + more} residues" if more else f"{low} residues",
            "a length that its parts can have",
        )
        return
    problem = problem_of()
    feasible = brute(problem)
    assert problem.layouts == len(feasible)
    assert problem.possible == (
        min(map(sum, feasible)),
        max(map(sum, feasible)),
    )
    for seed in range(4):
        assert problem.sample_layout(seed).lengths in feasible


def test_layouts_are_uniform():
    """Chi-square over 30 layouts, 1,200 draws: mean 29, standard deviation 7.6."""
    parts = (Scaffold(0, 4), segment(3), Scaffold(1, 9), segment(2, group=1), Scaffold(0, 3))
    problem = MotifProblem("made", parts, (9, 11))
    feasible = brute(problem)
    drawn = Counter(problem.sample_layout(seed).lengths for seed in range(1200))
    assert set(drawn) <= set(feasible)
    expected = 1200 / len(feasible)
    chi_square = sum((drawn[lengths] - expected) ** 2 / expected for lengths in feasible)
    freedom = len(feasible) - 1
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


def test_a_layout_depends_on_its_seed_alone():
    parts = (Scaffold(0, 40), segment(3), Scaffold(0, 40))
    one, other = (MotifProblem("made", parts, (20, 60)) for _ in range(2))
    other.sample_layout(5)
    assert one.sample_layout(7).lengths == other.sample_layout(7).lengths
    assert len({one.sample_layout(seed).lengths for seed in range(20)}) > 10


def test_where_the_motif_stands():
    parts = (Scaffold(2, 2), segment(3), Scaffold(4, 4), segment(2, group=1), segment(1, group=2))
    layout = MotifProblem("made", parts).sample_layout(0)
    assert layout.length == 12
    assert layout.starts == (0, 2, 5, 9, 11)
    assert layout.index.tolist() == [2, 3, 4, 9, 10, 11]
    assert layout.problem.group.tolist() == [0, 0, 0, 1, 1, 2]
    assert layout.placements == "2/A/4/B/0/C"
    assert layout.contig == "2/A1-3/4/A1-2;B/A1;C"
    np.testing.assert_allclose(layout.problem.trace[:3], helix(3))


def test_placements_begin_and_end_with_a_motif():
    layout = MotifProblem("made", (segment(3), Scaffold(5, 5), segment(2))).sample_layout(0)
    assert layout.placements == "A/5/B"


def test_the_chains_that_a_prior_knows():
    problem = MotifProblem("made", (Scaffold(10, 90), segment(3), Scaffold(10, 90)), (30, 150))
    assert problem.within(2, 64).possible == (30, 64)
    assert problem.within(2, 500).possible == (30, 150)
    assert problem.within(50, 500).possible == (50, 150)
    lengths = [problem.within(35, 40).sample_layout(seed).length for seed in range(50)]
    assert set(lengths) == {35, 36, 37, 38, 39, 40}
    refused(
        lambda: problem.within(2, 29, "backbone-128"),
        "30 to 150 residues",
        "at most 29, the longest chain of backbone-128",
        "shorten",
    )
    refused(
        lambda: problem.within(151, 200, "backbone-128"),
        "30 to 150 residues",
        "at least 151, the shortest chain of backbone-128",
        "lengthen",
    )


def test_a_scaffold_that_cannot_bridge_its_segments():
    far = segment(3, 20, shift=38)
    assert fewest_between(segment(1), segment(1, shift=38)) == 9
    assert fewest_between(segment(1), segment(1, group=1, shift=38)) == 0
    neighbours = segment(2).residues
    assert fewest_between(Segment(neighbours[:1]), Segment(neighbours[1:])) == 0
    error = refused(
        lambda: MotifProblem("made", (segment(3), Scaffold(0, 3), far)),
        "at most 3 residues",
        "11 or more",
    )
    assert "A1-3" in error.what
    problem = MotifProblem("made", (segment(3), Scaffold(0, 20), far))
    assert problem.contig == "A1-3/11-20/A20-22"
    assert {problem.sample_layout(seed).lengths[1] for seed in range(200)} == set(range(11, 21))
    apart = segment(3, 20, group=1, shift=38)  # a rigid body of its own may come near
    assert MotifProblem("made", (segment(3), Scaffold(0, 20), apart)).contig.startswith("A1-3/0-20")
    refused(
        lambda: MotifProblem("made", (segment(3), Scaffold(0, 20), far), (6, 16)),
        "6 to 16 residues",
        "a length that its parts can have, 17 to 26",
    )


def test_scaffolds_in_a_row_bridge_their_segments_together():
    far = segment(3, 20, shift=38)  # 11 residues bridge them
    row = (Scaffold(0, 7), Scaffold(2, 5), Scaffold(0, 4))
    problem = MotifProblem("made", (Scaffold(0, 2), segment(3), *row, far))
    assert problem.contig == "0-2/A1-3/0-7/2-5/0-4/A20-22"
    assert problem.possible == (17, 24)
    feasible = [lengths for lengths in brute(problem) if sum(lengths[2:5]) >= 11]
    assert problem.layouts == len(feasible)
    drawn = Counter(problem.sample_layout(seed).lengths for seed in range(40 * len(feasible)))
    assert set(drawn) <= set(feasible)
    chi_square = sum((drawn[lengths] - 40) ** 2 / 40 for lengths in feasible)
    freedom = len(feasible) - 1
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5
    shorter = MotifProblem("made", problem.parts, (6, 17))
    assert shorter.layouts == sum(1 for lengths in feasible if sum(lengths) == 17)
    refused(
        lambda: MotifProblem("made", problem.parts, (6, 16)),
        "6 to 16 residues",
        "a length that its parts can have, 17 to 24",
    )
    refused(
        lambda: MotifProblem("made", (segment(3), *row[1:], far)),
        "at most 9 residues",
        "11 or more",
    )


def test_errors():
    refused(lambda: Scaffold(5, 4), "5 to 4 residues", "0 <= low <= high")
    refused(lambda: Scaffold(-1, 4), "-1 to 4 residues", "0 <= low <= high")
    refused(lambda: Scaffold(1, 9999), "1 to 9999 residues", "4,096")
    refused(lambda: Segment(()), "no residues", "one or more")
    refused(lambda: MotifProblem("made", (Scaffold(1, 2),)), "no segment", "known structure")
    refused(lambda: MotifProblem("made", (segment(2),) * 300), "300 of them", "at most 256")
    broken = (segment(2).residues[0], segment(9).residues[8])
    refused(lambda: Segment(broken), "a chain break: 12.4 angstrom between A1 and A9", "4.5")


def test_a_length_as_it_is_written():
    assert length_range("50-75") == (50, 75)
    assert length_range(" 65 ") == length_range(65) == (65, 65)
    for bad in ("", "a", "75-50", "1-2-3", "-5", "0", "9" * 40, "1-9999", "5.5", "٥"):
        refused(lambda bad=bad: length_range(bad), bad, "a range of them: 65, 50-75")


@pytest.mark.parametrize("longest", [4096])
def test_the_largest_problem_is_counted_at_once(longest):
    parts = tuple(part for k in range(20) for part in (Scaffold(0, 200), segment(1, group=k)))
    problem = MotifProblem("made", parts, (longest - 500, longest))
    assert problem.layouts > 10**30
    assert longest - 500 <= problem.sample_layout(1).length <= longest
