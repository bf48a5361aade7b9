"""Motifs of several problems side by side."""

import numpy as np
import torch

from deft.data.proteins import MotifProblem, Scaffold, stacked_motifs
from tests.data.proteins.test_problem import segment
from tests.refusal import refused


def test_problems_of_several_sizes():
    one = MotifProblem("one", (Scaffold(2, 2), segment(2), Scaffold(3, 3), segment(1, group=4)))
    two = MotifProblem("two", (segment(1, shift=5), Scaffold(1, 1)))
    index, group, xyz = stacked_motifs([one.sample_layout(0), two.sample_layout(0)])
    assert index.tolist() == [[2, 3, 7], [0, -1, -1]]
    assert group.tolist() == [[0, 0, 1], [0, -1, -1]]
    assert xyz.dtype == torch.float64
    np.testing.assert_array_equal(xyz[0], one.trace)
    np.testing.assert_array_equal(xyz[1, :1], two.trace)
    assert not xyz[1, 1:].any()


def test_errors():
    refused(lambda: stacked_motifs([]), "none", "one or more")
