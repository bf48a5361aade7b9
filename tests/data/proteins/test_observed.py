"""Layouts as what a prior is conditioned on."""

import torch

from deft.data.proteins import MotifProblem, Scaffold, observed
from tests.data.proteins.test_problem import segment
from tests.refusal import refused
from tests.training.test_backbones import White


def problem():
    parts = (Scaffold(1, 4), segment(5), Scaffold(1, 4), segment(3, group=1, shift=30))
    return MotifProblem("made", parts)


def test_layouts_of_several_lengths():
    layouts = [problem().sample_layout(seed) for seed in range(6)]
    prior, observation = observed(White(), layouts, sigma_y=0.2)
    assert prior.lengths.tolist() == [layout.length for layout in layouts]
    assert prior.event_shape[0] == max(layout.length for layout in layouts)
    operator = observation.operator
    assert operator.index.tolist() == [layout.index.tolist() for layout in layouts]
    assert operator.group.tolist() == [[0] * 5 + [1] * 3] * 6
    assert observation.sigma_y.item() == torch.tensor(0.2)
    torch.testing.assert_close(observation.y[:, :5].mean(1), torch.zeros(6, 3), atol=1e-5, rtol=0)
    motif = torch.from_numpy(problem().trace).float()
    x_0 = torch.zeros(6, *prior.event_shape)
    for i, layout in enumerate(layouts):
        x_0[i, layout.index] = motif
    misfit = observation.likelihood.misfit(x_0, observation.y)
    torch.testing.assert_close(misfit, torch.zeros(6), atol=1e-4, rtol=0)


def test_one_layout_serves_all_designs():
    layout = problem().sample_layout(0)
    prior, observation = observed(White(), [layout])
    assert prior.num_observations == 1
    assert len(observation) == 1


def test_a_padded_prior():
    layout = problem().sample_layout(0)
    prior, observation = observed(White(padded=True), [layout])
    assert prior.event_shape == observation.operator.event_shape == (20, 3)


def test_errors():
    refused(lambda: observed(White(), []), "none", "one or more")
    refused(lambda: observed(White(), [problem().sample_layout(0)], -1.0), -1.0, ">= 0")
    long = MotifProblem("made", (Scaffold(30, 30), segment(5))).sample_layout(0)
    refused(lambda: observed(White(), [long]), "35 residues", "4 to 20 residues")
