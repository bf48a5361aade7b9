"""The gate of a prior of backbones, with its seeds, for a prior that was never trained."""

import json
from pathlib import Path

import backbone_gate
import export_backbone
import numpy as np
import pytest
import torch

from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.samplers.cooled import Cooled
from deft.schedules import VE
from tests.benchmarks.test_scaffold import helix


@pytest.fixture
def prior(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(backbone_gate.backbone_data, "LENGTHS", (22, 30))
    monkeypatch.setattr(backbone_gate, "SAMPLER", {"steps": 3, "noise_scale": 0.6, "below": 6.0})
    sizes = {"width": 8, "blocks": 1, "heads": 2, "pair": 8}
    return EquivariantBackbone(40, VE(0.02, 160.0), min_length=20, **sizes).frozen()


def chains(count=12):
    found = [helix(22 + k % 9, k).astype(np.float32) for k in range(count)]
    names = [f"c{k}" for k in range(count)]
    clusters, weights = np.arange(count), np.ones(count)
    return backbone_gate.backbone_data.Chains(found, ["A" * 22] * count, names, clusters, weights)


def test_lines_that_were_not_measured_are_not_met(prior, tmp_path, monkeypatch):
    monkeypatch.setattr("export_backbone.LENGTHS", (22, 30))
    parts = dict.fromkeys(("train", "val", "test"), chains())
    found = backbone_gate.measures(prior, parts, tmp_path, count=3, members=None)
    assert [len(lines) for lines in found["gates"]] == [8] * 3
    assert not any(found["passed"])
    assert [line["value"] for line in found["gates"][0][6:]] == [None, None]
    radii = [row["measures"]["radius_ratio"]["value"] for row in found["by_seed"]]
    assert len(set(radii)) == len(backbone_gate.SEEDS)
    again = backbone_gate.measures(prior, parts, tmp_path, count=3, members=None)
    assert again["by_seed"] == found["by_seed"]


def test_the_page_holds_the_table_of_the_kept_values():
    root = Path(backbone_gate.__file__).parents[1]
    kept = root / "benchmarks" / "results" / "protein" / "backbone_gate.json"
    table = backbone_gate.table(json.loads(kept.read_text()))
    assert table in (root / "docs" / "priors" / "backbone-128.md").read_text()


def test_natives_are_the_nearest_in_length(prior):
    natives = [torch.zeros(n, 3) for n in (50, 20, 31, 30)]
    found = backbone_gate.nearest_in_length(natives, [30, 30, 45])
    assert [len(x) for x in found] == [30, 31, 50]
    assert backbone_gate.lengths(3) == [22, 26, 30]


def test_seed_0_draws_what_the_card_of_the_prior_holds(prior):
    sampler = Cooled(3, 0.6, 6.0)
    own = backbone_gate.designs(prior, sampler, 0, 3)
    for x, z in zip(own, export_backbone.designs(prior, sampler, [22, 26, 30]), strict=True):
        torch.testing.assert_close(x, z)
    other = backbone_gate.designs(prior, sampler, 1, 3)
    assert not torch.equal(other[0], own[0])
