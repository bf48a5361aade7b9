import dataclasses
import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.studies.estimate import Estimate
from deft.studies.protein import Row, Thresholds, gate, joint_success, passes
from deft.studies.protein.measured import Measured

GOOD = {
    "bonds": 0.97,
    "clashes": 0.01,
    "radius_ratio": 1.03,
    "helix": 0.3,
    "strand": 0.2,
    "handedness": 50.0,
    "nearest": 0.5,
    "entropy": 1.8,
    "cross_likelihood": 2.0,
}
NATIVE = {"entropy": 1.6, "cross_likelihood": 1.6}
NOISY = {"entropy": 2.4, "cross_likelihood": 3.2}


def row(values, judge="one"):
    return Row(
        "row", 2, {k: Estimate(v, (v - 0.01, v + 0.01), 2) for k, v in values.items()}, judge
    )


def unmet(**changed):
    found = gate(row(GOOD | changed), row(NATIVE), row(NOISY))
    return [condition.name for condition in found if not condition.met]


def test_a_prior_that_passes():
    found = gate(row(GOOD), row(NATIVE), row(NOISY))
    assert passes(found)
    assert len(found) == 8
    assert "0.5" in str(found[3])
    assert found[0].card()["met"] is True


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"bonds": 0.94}, "bonds within 0.2 Å of 3.8"),
        ({"clashes": 0.03}, "residues that clash"),
        ({"radius_ratio": 1.06}, "radius of gyration over natives' of the same length"),
        ({"radius_ratio": 0.94}, "radius of gyration over natives' of the same length"),
        ({"helix": 0.15}, "helix and strand"),
        ({"handedness": 20.0}, "right- over left-handed helices"),
        ({"handedness": math.nan}, "right- over left-handed helices"),
        ({"nearest": 0.6}, "largest TM-score to training chains"),
        ({"entropy": 2.1}, "entropy"),
        ({"cross_likelihood": 2.5}, "cross likelihood"),
    ],
)
def test_each_condition_fails_by_itself(changed, name):
    assert unmet(**changed) == [name]


def test_infinitely_more_right_handed_helices_are_enough():
    assert unmet(handedness=math.inf) == []


def test_what_was_not_measured_is_not_met():
    few = {key: value for key, value in GOOD.items() if key != "nearest"}
    found = gate(row(few), row(NATIVE), row(NOISY))
    assert [condition.name for condition in found if not condition.met] == [
        "largest TM-score to training chains"
    ]
    assert "not measured" in str(found[5])
    assert found[5].card()["value"] is None
    alone = gate(row(GOOD))
    assert [condition.met for condition in alone[-2:]] == [False, False]


def test_rows_of_different_judges_are_not_compared():
    with pytest.raises(InvalidInput, match="one judge for all rows"):
        gate(row(GOOD), row(NATIVE, judge="another"), row(NOISY))


def designs(count=100, **values):
    return Measured(
        "designs",
        {key: torch.as_tensor(value).double().expand(count) for key, value in values.items()},
        torch.zeros(count, 2),
        None,
        torch.linspace(0, 0.5, 1000).double(),
        torch.full((count,), 0.1).double(),
    )


def reference():
    steps = torch.arange(100) / 99
    return designs(bonds=0.9 + 0.1 * steps, clashes=0.1 * steps, cross_likelihood=2 + steps)


def test_thresholds_are_the_worst_twentieth_of_the_reference():
    found = Thresholds.of(reference())
    assert found.bonds == pytest.approx(0.905)
    assert found.clashes == pytest.approx(0.095)
    assert found.cross_likelihood == pytest.approx(2.95)
    assert found.junction == pytest.approx(0.495, abs=0.002)


def test_success_is_joint():
    thresholds = Thresholds.of(reference())
    good = {"motif_rmsd": 0.5, "bonds": 0.95, "clashes": 0.0, "cross_likelihood": 2.5}
    assert joint_success(designs(3, **good), thresholds).tolist() == [True] * 3
    single = designs(1, **good | {"motif_rmsd": math.nan})  # residues, which have no RMSD
    assert joint_success(single, thresholds).item()
    for key, bad in (
        ("motif_rmsd", 1.0),
        ("bonds", 0.9),
        ("clashes", 0.2),
        ("cross_likelihood", 3.0),
    ):
        assert not joint_success(designs(1, **good | {key: bad}), thresholds).item()
    broken = dataclasses.replace(designs(2, **good), junctions_off=torch.tensor([0.6, math.nan]))
    assert joint_success(broken, thresholds).tolist() == [False, True]


def test_designs_that_cannot_be_compared():
    thresholds = Thresholds.of(reference())
    with pytest.raises(InvalidInput, match="no motif"):
        joint_success(designs(bonds=1.0), thresholds)
    unjudged = designs(motif_rmsd=0.5, bonds=1.0, clashes=0.0)
    with pytest.raises(InvalidInput, match="no cross likelihood"):
        joint_success(unjudged, thresholds)
    without = dataclasses.replace(thresholds, cross_likelihood=None)
    assert joint_success(unjudged, without).all()
