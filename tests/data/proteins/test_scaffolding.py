"""From a problem to files: layouts, a posterior of several lengths, designs that hold the motif,
and folders that have no faults but their number.
"""

import torch

from deft.data.proteins import (
    MotifProblem,
    Scaffold,
    check_folder,
    designs_of,
    export_insilico,
    export_motifbench,
    observed,
)
from deft.data.proteins.parts import Segment
from deft.data.proteins.structure import Residue
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from tests.data.proteins.made import helix
from tests.data.proteins.test_design import full
from tests.training.test_backbones import Gain, White


def problem():
    """Two rigid bodies, of five and four residues."""
    segments = [
        Segment(
            tuple(Residue("A", 1 + i, "", "LEU", full(place)) for i, place in enumerate(helix(n))),
            group,
        )
        for group, n in enumerate((5, 4))
    ]
    parts = (Scaffold(1, 6), segments[0], Scaffold(2, 4), segments[1], Scaffold(0, 4))
    return MotifProblem("09_MADE", parts, (14, 20))


def sampled(layouts, seeds):
    prior, observation = observed(White(), layouts, sigma_y=0.2)
    posterior = Posterior(prior, Gain(1.0), observation)
    with torch.no_grad():
        return DDIM(steps=12, eta=1.0)(posterior, 1, seed=seeds)[:, 0], observation


def test_designs_hold_their_motif_and_are_the_same_in_any_batch(tmp_path):
    layouts = [problem().sample_layout(seed) for seed in range(5)]
    x, observation = sampled(layouts, list(range(5)))
    misfit = observation.likelihood.misfit(x, observation.y)
    assert misfit.max() < 3
    for i, layout in enumerate(layouts):
        assert (x[i, layout.length :] == 0).all()
        if i > 1:
            continue
        alone, _ = sampled([layout], [i])
        torch.testing.assert_close(alone[0], x[i, : layout.length], atol=1e-3, rtol=1e-3)
    designs = designs_of(layouts, x)
    export_motifbench(tmp_path, designs)
    found = check_folder(tmp_path, {"09_MADE": problem()})
    assert [fault.what for fault in found] == ["5 designs"]
    assert check_folder(export_insilico(tmp_path / "insilico", designs)) == []


def test_without_guidance_the_motif_is_not_there():
    layouts = [problem().sample_layout(seed) for seed in range(5)]
    prior, observation = observed(White(), layouts, sigma_y=0.2)
    x = DDIM(steps=12, eta=1.0)(prior, 1, seed=list(range(5)))[:, 0]
    assert observation.likelihood.misfit(x, observation.y).min() > 5
