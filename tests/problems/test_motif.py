"""Motifs are drawn as said: their sizes, their places, their rigid bodies, and in no frame."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch

from deft.noise import Noise
from deft.operators import AlignedMotif, FixedMotif
from deft.problems import MotifScaffolding
from deft.problems.motif import lengths_of, placed
from tests.contracts.problem import ProblemContract
from tests.refusal import refused


class _Chains:
    event_shapes = ((64, 3), (50, 3), (12, 3))


class TestMotifScaffolding(_Chains, ProblemContract):
    tolerance = 1e-4  # motions are found in double precision, of numbers in single

    def make(self):
        return MotifScaffolding(share=0.5, sigma_y=(0.1, 0.3))

    def test_the_truth_fits(self):
        """The misfit of the truth is a chi variable over sqrt(3 m), whose degrees of freedom the
        motion of each group takes: 6 of three residues or more, 5 of two, 3 of one.
        """
        x_0 = 8 * torch.randn(64, *self.event_shapes[0])
        observation = self.make().draw(x_0, Noise(range(64)))
        operator = observation.operator
        sizes = [Counter(row[row >= 0].tolist()) for row in operator.group]
        freedom = torch.tensor(
            [sum(max(3 * m - (6, 5, 3)[max(3 - m, 0)], 0) for m in s.values()) for s in sizes]
        ).float()
        m = operator.count(observation.y)
        squares = observation.likelihood.misfit(x_0, observation.y).square() * m
        assert abs((squares - freedom).sum()) < 5 * math.sqrt(2 * freedom.sum())


class TestMotifsInTheirFrame(_Chains, ProblemContract):
    def make(self):
        return MotifScaffolding(frame="fixed", sigma_y=0.2)


def drawn(problem, n=400, length=64):
    return problem.operator(torch.ones(n, length, 3), Noise(range(n)))


def pieces(operator):
    """The sizes of the pieces of each motif, in order."""
    found = []
    for row in operator.index:
        places = row[row >= 0]
        assert (places.diff() > 0).all()
        breaks = (places.diff() > 1).nonzero()[:, 0] + 1
        ends = [0, *breaks.tolist(), len(places)]
        found.append([b - a for a, b in pairwise(ends)])
    return found


def test_one_piece_of_8_to_24_residues():
    sizes = pieces(drawn(MotifScaffolding(share=0.0)))
    assert all(len(piece) == 1 for piece in sizes)
    counts = Counter(piece[0] for piece in sizes)
    assert set(counts) == set(range(8, 25))
    assert max(counts.values()) < 400 / 17 + 5 * math.sqrt(400 / 17)


def test_islands():
    operator = drawn(MotifScaffolding(share=1.0, island=(1, 10)))
    sizes = pieces(operator)
    assert {len(piece) for piece in sizes} == {2, 3, 4}
    groups = [row[row >= 0].unique().numel() for row in operator.group]
    own = [piece for piece, g in zip(sizes, groups, strict=True) if g > 1]
    assert all(g in (1, len(piece)) for piece, g in zip(sizes, groups, strict=True))
    assert abs(len(own) - 200) < 5 * math.sqrt(100)
    assert min(size for piece in own for size in piece) == 3
    assert min(size for piece in sizes for size in piece) == 1
    assert max(size for piece in sizes for size in piece) == 10


def test_the_share_of_motifs_in_pieces():
    several = sum(len(piece) > 1 for piece in pieces(drawn(MotifScaffolding())))
    assert abs(several - 120) < 5 * math.sqrt(400 * 0.3 * 0.7)


def test_places_are_uniform():
    """Two pieces of 2 and 1 in a chain of 6: the ways are 2 x - x, ..., six in all."""
    draws = Noise(range(1200)).uniform(0, (2,)).tolist()
    ways = Counter(tuple(placed([2, 1], 6, u)) for u in draws)
    assert set(ways) == {(0, 3), (0, 4), (0, 5), (1, 4), (1, 5), (2, 5)}
    chi_square = sum((count - 200) ** 2 / 200 for count in ways.values())
    assert chi_square < 5 + 5 * math.sqrt(10)


def test_motifs_stay_within_the_residues_that_exist():
    x_0 = torch.randn(200, 60, 3)
    lengths = 8 + torch.arange(200) % 50
    x_0[torch.arange(60) >= lengths[:, None]] = 0
    assert torch.equal(lengths_of(x_0), lengths)
    operator = MotifScaffolding(share=0.5).operator(x_0, Noise(range(200)))
    assert (operator.index < lengths[:, None]).all()
    size = (operator.index >= 0).sum(1)
    assert (size <= 0.75 * lengths).all()
    assert (size >= 1).all()


def test_a_motif_depends_on_its_chain_alone_and_not_on_what_it_is_padded_to():
    x_0 = torch.randn(3, 40, 3)
    padded = torch.nn.functional.pad(x_0, (0, 0, 0, 30))
    problem = MotifScaffolding(share=0.5)
    short, long = (problem.draw(x, Noise(range(3))) for x in (x_0, padded))
    assert torch.equal(short.operator.index, long.operator.index)
    torch.testing.assert_close(short.y, long.y)


def test_y_comes_in_no_frame():
    """Its groups are centred; two seeds turn the same motif differently."""
    problem = MotifScaffolding(contiguous=(6, 6), share=0.0, sigma_y=1e-6)
    x_0 = 8 * torch.randn(1, 8, 3).repeat(60, 1, 1)
    observation = problem.draw(x_0, Noise(range(60)))
    assert isinstance(observation.operator, AlignedMotif)
    torch.testing.assert_close(observation.y[:, :6].mean(1), torch.zeros(60, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        observation.residual(x_0), torch.zeros_like(observation.y), atol=1e-3, rtol=0
    )
    first = observation.y[observation.operator.index[:, 0] == 0][:, 0]
    direction = first / first.norm(dim=1, keepdim=True)
    assert direction.mean(0).norm() < 4 / math.sqrt(len(first))


def test_a_fixed_frame_is_that_of_the_chain():
    x_0 = torch.randn(5, 40, 3)
    observation = MotifScaffolding(frame="fixed", sigma_y=0.0).draw(x_0, Noise(range(5)))
    assert isinstance(observation.operator, FixedMotif)
    seen = observation.operator.coverage(x_0).bool().expand_as(x_0)
    assert torch.equal(observation.lifted[seen], x_0[seen])


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 64), (2, 64, 4)])
def test_signals_that_are_no_chains(shape):
    refused(
        lambda: MotifScaffolding().draw(torch.ones(shape), Noise([0, 1])),
        f"the shape {shape}",
        "(batch, places, 3)",
        "protein backbones",
    )


def test_errors():
    refused(lambda: MotifScaffolding(contiguous=(9, 8)), (9, 8), "1 <= fewest <= most <= 512")
    refused(lambda: MotifScaffolding(contiguous=(0, 8)), 0, "from 1 to 512")
    refused(lambda: MotifScaffolding(islands=(2, 17)), 17, "from 1 to 16")
    refused(lambda: MotifScaffolding(island=(1, 600)), 600, "from 1 to 512")
    refused(lambda: MotifScaffolding(share=1.5), 1.5, "[0, 1]")
    refused(lambda: MotifScaffolding(frame="free"), "free", "aligned, fixed")
    refused(lambda: MotifScaffolding(sigma_y=-1.0), -1.0, ">= 0")
