"""The benchmark of motif scaffolds: its problems, its methods, what counts as a success, and that a
run that was stopped goes on.
"""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import scaffold
import scaffold_setting as setting
import torch
import yaml
from scaffold_figure import figure
from scaffold_results import FREE, Part, differences, each, results, wilson
from scaffold_tables import tables

from deft.data.proteins.observed import observed
from deft.htransforms.backbone import BackboneHTransform
from deft.htransforms.dps import DPS
from deft.metrics import protein
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.reports.protein.drawing import two_sides
from deft.samplers.cooled import Cooled
from deft.samplers.ddim import DDIM
from deft.schedules import VE
from deft.studies.counted import Counted
from deft.training import checkpoint
from tests.data.proteins import made

SAMPLER = Cooled(6, 0.6, 12.0)


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    sizes = {"width": 8, "blocks": 1, "heads": 2, "pair": 8}
    return EquivariantBackbone(40, VE(0.02, 160.0), min_length=20, **sizes).frozen()


def helix(n, seed=0):
    """A helix that is slightly bent, (n, 3): bonds of 3.8 angstrom, and no clash."""
    turn = np.radians(100) * np.arange(n)
    x = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.5 * np.arange(n)], 1)
    x[:, 0] += (0.2 + 0.1 * seed) * np.arange(n) ** 2 / n
    bonds = np.diff(x, axis=0)
    bonds *= 3.8 / np.linalg.norm(bonds, axis=1, keepdims=True)
    return np.concatenate([np.zeros((1, 3)), np.cumsum(bonds, 0)])


def file_of(least, most, length):
    """A problem file with a motif of 9 residues."""
    rows = [(least, most), ("A", 1, 9, ""), (least, most)]
    return made.genie2(rows, made.chain(9), length=length)


def problem(count=3, length=30):
    chains = [(f"c{k}", helix(length - k, k)) for k in range(count)]
    return setting.held_out(chains, {"motif": [8, 12], "seed": 3})


def test_wilson_by_hand():
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=2e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=2e-4)
    assert wilson(24, 24)[1] == 1.0


def test_a_chain_holds_its_own_motif():
    chain = helix(30)
    for seed in range(20):
        layout = setting.of_chain("c", chain, (8, 12), seed)
        assert layout.length == 30
        assert 8 <= len(layout.index) <= 12
        assert (np.diff(layout.index) == 1).all()
        np.testing.assert_allclose(layout.problem.trace, chain[layout.index])


def test_designs_of_a_file_have_lengths_that_the_prior_knows(tmp_path):
    (tmp_path / "own.pdb").write_text(file_of(10, 60, (29, 126)))
    found = setting.of_file(tmp_path / "own.pdb", 9, (50, 64))
    assert all(50 <= layout.length <= 64 for layout in found.layouts)
    assert len({layout.lengths for layout in found.layouts}) > 3
    shortest = setting.of_file(tmp_path / "own.pdb", 4, (50, 128), shortest=True)
    assert {layout.length for layout in shortest.layouts} == {50}


def test_a_design_is_the_same_whatever_it_is_batched_with(prior, monkeypatch):
    draw = setting.methods(SAMPLER, {})["replacement"]
    together, mask, _ = setting.designs(prior, draw, problem(), 0, 0.1)
    monkeypatch.setattr(setting, "AT_ONCE", 1)
    alone, same, _ = setting.designs(prior, draw, problem(), 0, 0.1)
    assert torch.equal(mask, same)
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


def test_replacement_holds_the_motif_exactly(prior):
    found = problem()
    x, _, _ = setting.designs(prior, setting.ReplacementAfter(SAMPLER).run, found, 0, 0.1)
    motif = found.placed
    rmsd = protein.motif_rmsd(x, motif.index, motif.group, motif.coordinates)
    assert float(rmsd.max()) < 1e-3


def test_published_steps_under_full_noise_are_those_of_ddpm(prior):
    told, observation = observed(prior, problem().layouts, 0.1)
    noise = Noise([1, 2, 3])
    own = setting.guided(Cooled(6, 1.0), DPS.published(0.5))(told, observation, noise)
    ddpm = DDIM(6, eta=1.0).run(Posterior(told, DPS.published(0.5), observation), noise)
    torch.testing.assert_close(own, ddpm, atol=1e-3, rtol=1e-4)


def parts(folder):
    """Natives, the same with their motif torn off, and the same with the wrong motif."""
    found = problem(12, 60)
    x, mask = protein.stacked([torch.from_numpy(helix(60 - k, k)) for k in reversed(range(12))])
    torn = x.clone()
    for i, layout in enumerate(found.layouts):
        assert int(mask[i].sum()) == layout.length
        torn[i, : layout.index[-1] + 1] += 9.0
    wrong = x.clone()
    for i, layout in enumerate(found.layouts):
        wrong[i, layout.index[0] + 3 :] += torch.tensor([0.0, 1.0, 2.0]).double() * 4
    return [
        Part("held-out", found, name, 0, y, mask, folder / f"{name}.json")
        for name, y in ((FREE, x), ("torn", torn), ("wrong", wrong))
    ]


def test_success_is_joint(tmp_path):
    every = parts(tmp_path)
    natives = [x[m] for x, m in zip(every[0].x, every[0].mask)]
    found = results(
        every,
        natives,
        protein.stacked(natives),
        members=None,
        most=2,
        cache=tmp_path / "natives.json",
    )
    rows = found["sets"]["held-out"]["methods"]
    assert rows[FREE]["joint"]["count"] == 12
    assert rows[FREE]["solved"] == 12 // 12  # one problem
    assert rows["torn"]["values"]["motif_rmsd"] == pytest.approx([0.0] * 12, abs=1e-3)
    assert rows["torn"]["joint"]["count"] <= 2  # those whose motif ends the chain
    assert rows["wrong"]["joint"]["count"] == 0
    assert found["judge"] is None
    assert "cross_likelihood" not in rows[FREE]


def test_designs_that_diverged_are_failures(tmp_path):
    free, torn, _ = parts(tmp_path)
    broken = free.x.clone()
    broken[3, 5] = torch.nan
    every = [free, replace(torn, x=broken)]
    natives = [x[m] for x, m in zip(free.x, free.mask)]
    said = {"members": None, "most": 2, "cache": tmp_path / "natives.json"}
    found = results(every, natives, protein.stacked(natives), **said)
    rows = found["sets"]["held-out"]["methods"]
    assert (rows[FREE]["diverged"], rows["torn"]["diverged"]) == (0, 1)
    assert rows["torn"]["joint"]["count"] == rows[FREE]["joint"]["count"] - 1
    assert rows["torn"]["values"]["joint"][3] == 0
    assert rows["torn"]["values"]["bonds"][3] is None
    assert rows["torn"]["motif_held"]["value"] == pytest.approx(11 / 12)
    assert rows["torn"]["bonds"]["value"] == pytest.approx(rows[FREE]["bonds"]["value"], abs=0.05)


def test_differences_are_paired_over_chains():
    def of(joint, seeds, names=("held-out",) * 4):
        return {
            "designs": 4,
            "seed": seeds,
            "problem": names,
            "values": {"joint": joint},
        }

    two = of([1, 0, 1, 1], [0, 0, 1, 1])
    assert each(two) == {"chain 0": 1.0, "chain 1": 0.5}
    one = {**of([0, 0], [0, 0], ("held-out",) * 2), "designs": 2}
    found = differences({"DEFT-9 %": two, "DPS": one})
    assert found["DPS"]["value"] == 0.75
    assert found["DPS"]["standard_error"] == pytest.approx(0.25)
    assert each(of([1, 0, 1, 1], [0] * 4, ("a", "a", "b", "b"))) == {"a": 0.5, "b": 1.0}


@pytest.fixture
def bench(prior, tmp_path):
    motifs = tmp_path / "genie2_made"
    motifs.mkdir()
    (motifs / "own.pdb").write_text(file_of(8, 20, (25, 49)))
    count = 30
    some = scaffold.backbone_data.Chains(
        [helix(24 + k % 9, k).astype(np.float32) for k in range(count)],
        ["A" * 24] * count,
        [f"c{k}" for k in range(count)],
        np.arange(count),
        np.ones(count),
    )
    config = yaml.safe_load((setting_file()).read_text())
    config["sampler"]["steps"] = 3
    config["held_out"] |= {"chains": 3, "lengths": [20, 40]}
    for which in ("benchmark", "longer", "several"):
        config[which] |= {"problems": ["own"], "designs": 2, "lengths": [25, 32]}
    config["tds"] = {"particles": 2, "systems": 1, "problems": ["own"]}
    config["tuning"] |= {"chains": 2, "zeta": [1.0], "weight": [1.0], "learned": {}}
    config["seeds"] = {"DPS": 2}
    h = BackboneHTransform.for_prior(prior, fraction=0.3).requires_grad_(False)
    chains = dict.fromkeys(("train", "val", "test"), some)
    out = tmp_path / "out"
    return scaffold.Bench(config, prior, {"DEFT-9 %": h}, chains, tmp_path, out)


def setting_file():
    return scaffold.Path(scaffold.__file__).parent / "protein.yaml"


def test_a_run_goes_on(bench, monkeypatch):
    calls, own = [], setting.designs

    def drawn(*args):
        calls.append(args)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return own(*args)

    monkeypatch.setattr(setting, "designs", drawn)
    with pytest.raises(KeyboardInterrupt):
        bench.draw()
    kept = {path: path.read_bytes() for path in bench.out.rglob("*.npz")}
    assert kept
    bench.draw()
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert len(bench.parts()) == len(list(bench.plan()))
    before = len(calls)
    bench.draw()
    assert len(calls) == before
    monkeypatch.setattr(scaffold.backbone_data, "LENGTHS", (20, 40))
    found = results(
        bench.parts(),
        bench.natives(),
        protein.stacked(bench.training()),
        members=None,
        most=1,
        cache=bench.out / "natives.json",
    )
    text = tables({**found, "speed": {}})
    assert {"TDS", "DPS", "guidance", "replacement", "DEFT-9 %"} <= set(
        found["sets"]["benchmark"]["methods"]
    )
    assert "| **problems solved** |" in text
    assert "DEFT-9 %" not in found["sets"]["held-out"]["differences"]
    assert len(found["sets"]["held-out"]["methods"]["DPS"]["seed"]) == 6


def test_the_page_holds_the_tables_of_the_kept_values():
    root = Path(scaffold.__file__).parents[1]
    kept = root / "benchmarks" / "results" / "protein" / "scaffold.json"
    lines = tables(json.loads(kept.read_text())).splitlines()
    page = (root / "docs" / "protein-results.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("|") and line not in page] == []


def test_the_figure_has_two_sides_of_each_method():
    sides = two_sides(helix(30), range(5, 14))
    root = ElementTree.fromstring(figure([("one", sides), ("two", sides)]))
    pictures = [part for part in root if part.tag.endswith("svg")]
    assert len({(part.get("x"), part.get("y")) for part in pictures}) == 4
    assert [part.text for part in root if part.tag.endswith("text")] == ["one", "two"]


def test_an_h_that_comes_later_is_added(bench):
    without = replace(bench, learned={})
    assert {part[2] for part in without.plan()} < {part[2] for part in bench.plan()}


def test_calls_share_the_work(bench):
    every = list(bench.plan())
    shares = [list(replace(bench, share=(k, 2)).plan()) for k in (1, 2)]
    assert [part for pair in zip(*shares, strict=False) for part in pair] == every[
        : len(every) // 2 * 2
    ]
    assert sum(map(len, shares)) == len(every)


def test_a_method_can_have_fewer_designs(bench):
    bench.config["benchmark"]["fewer"] = {"DEFT-9 %": 1}
    of = {part[2]: len(part[1].layouts) for part in bench.plan() if part[0] == "benchmark"}
    assert (of["DEFT-9 %"], of["DPS"]) == (1, 2)


def test_a_weight_that_is_added_is_tried_and_the_others_are_kept(bench):
    first = bench.tuned()
    bench.config["tuning"] |= {"weight": [1.0, 2.0], "learned": {"DEFT-9 %": [3.0]}}
    second = bench.tuned()
    assert second["candidates"][:2] == first["candidates"]
    assert [one["weight"] for one in second["candidates"][2:]] == [2.0, 3.0]
    assert "DEFT-9 %, weighted" in bench.methods(bench.sampler)
    assert bench.tuned() == second


def test_a_network_without_a_prior_draws_the_same_layouts(prior, tmp_path):
    """At its start it is the Gaussian chain with its exact shift, and asks nothing of the prior."""
    chain = setting.of_chains(prior)
    h = BackboneHTransform(chain.scale, spectrum=chain.spectrum, width=8, heads=2, pair=8)
    checkpoint.save(tmp_path / "whole.safetensors", h, chain, {"problem": None})
    draw, seen = setting.amortised(tmp_path / "whole.safetensors", prior)(SAMPLER), problem()
    x, _, _ = setting.designs(prior, draw, seen, 0, 0.1)
    motif = seen.placed
    rmsd = protein.motif_rmsd(x, motif.index, motif.group, motif.coordinates)
    assert float(rmsd.max()) < 0.5
    told, observation = observed(prior, seen.layouts, 0.1)
    counted = Counted(told)
    draw(counted, observation, Noise([1, 2, 3]))
    assert counted.evaluations == 0


def test_the_speed_counts_gradients(bench, tmp_path):
    (tmp_path / "5tpn.pdb").write_text((tmp_path / "genie2_made" / "own.pdb").read_text())
    bench.config["speed"] = {"length": 30, "designs": 2, "steps": 2, "rounds": 1}
    found = bench.speed()
    per_step = {name: row["gradients_per_step"] for name, row in found.items()}
    assert per_step["DPS"] == per_step["guidance"] > 0
    assert per_step["DEFT-9 %"] == per_step["replacement"] == 0
