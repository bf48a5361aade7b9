"""`deft scaffold`: from a motif to designs, their measures, a page and exports, and what a stopped
run keeps.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deft.commands import designing
from deft.commands.scaffold_inputs import METHODS, for_prior, method_of, problems_of, shipped_for
from deft.data.proteins import check_folder, read_problem, read_structure
from deft.data.proteins.structure import trace
from deft.geometry import superposed
from deft.metrics.protein import motif_rmsd
from deft.pipeline.scaffolds import cooled
from deft.priors import zoo
from deft.studies.method import describe
from deft.training import checkpoint, places
from tests.bad_input import protein_world
from tests.data.proteins.made import chain, genie2, helix
from tests.refusal import refused


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return protein_world.build(tmp_path_factory.mktemp("made") / "protein")


@pytest.fixture
def scaffold(deft, world: Path, tmp_path: Path):
    """`deft scaffold` for the made motif, in two steps; gives the folder and what was said."""

    def run(*options, out="out", n=3, problem="motif.pdb"):
        code, said, errors = deft(
            "scaffold",
            "--problem",
            world / problem,
            "-n",
            n,
            "--prior",
            world / "tiny.safetensors",
            "--steps",
            "2",
            "--out",
            tmp_path / out,
            "--judge",
            "false",
            *options,
        )
        assert code == 0, errors
        return tmp_path / out, said

    return run


PLAIN = ("--method", "unconditional", "--page", "false")


def test_designs_are_files_with_the_names_of_their_motif(scaffold, world):
    out, said = scaffold("--method", "replacement")
    problem = read_problem(world / "motif.pdb")
    for k in range(3):
        residues = read_structure(out / f"MADE_{k}.pdb").chain("A")
        assert [residue.number for residue in residues] == list(range(1, len(residues) + 1))
        assert all({"N", "CA", "C", "O"} == set(residue.atoms) for residue in residues)
        names = [residue.name for residue in residues]
        start = next(i for i in range(len(names)) if names[i : i + 10] == _names(problem))
        assert set(names[:start] + names[start + 10 :]) <= {"GLY"}
        assert 5 <= start <= 10
        found = torch.from_numpy(trace(residues))[start : start + 10]
        motif = torch.from_numpy(problem.trace)
        assert (superposed(motif, found) - found).norm(dim=1).max() < 1e-2
    assert "motif within 1 Å: 3 of 3 designs" in said
    assert "no designability" in said


def _names(problem):
    return [residue.name for residue in problem.residues]


def test_measures_are_those_of_the_files_and_ranked_without_a_judge(scaffold, world):
    out, said = scaffold(*PLAIN)
    card = json.loads((out / "designs.json").read_text())
    faults = [one["measures"]["faults"] for one in card["designs"]]
    assert faults == sorted(faults)
    assert [one["rank"] for one in card["designs"]] == [1, 2, 3]
    assert "entropy" not in card["designs"][0]["measures"]
    assert card["judge"] is None
    problem = read_problem(world / "motif.pdb")
    motif, group = torch.from_numpy(problem.trace)[None], torch.zeros(1, 10, dtype=torch.long)
    for one in card["designs"]:
        x = torch.from_numpy(trace(read_structure(out / one["file"]).chain("A")))[None]
        start = int(one["contig"].split("/")[0])
        index = torch.arange(start, start + 10)[None]
        rmsd = float(motif_rmsd(x, index, group, motif))
        assert one["measures"]["motif_rmsd"] == pytest.approx(rmsd, abs=2e-3)
        assert one["residues"] == x.shape[1]
        assert said.index(one["name"]) > 0


def test_a_design_depends_on_its_number_and_the_seed_alone(scaffold):
    together, _ = scaffold(*PLAIN, "--batch_size", "4", out="a")
    alone, _ = scaffold(*PLAIN, "--batch_size", "1", out="b")
    other, _ = scaffold(*PLAIN, "--seed", "1", out="c", n=1)
    for k in range(3):
        x, z = (
            trace(read_structure(folder / f"MADE_{k}.pdb").chain("A"))
            for folder in (together, alone)
        )
        np.testing.assert_allclose(x, z, atol=2e-2)
    assert (other / "MADE_0.pdb").read_text() != (alone / "MADE_0.pdb").read_text()


def test_finished_designs_are_kept_and_damaged_ones_drawn_again(scaffold, monkeypatch):
    out, _ = scaffold(*PLAIN, n=2)
    before = {k: (out / f"MADE_{k}.pdb").read_bytes() for k in range(2)}
    drawn = []
    real = designing.Designing._draw
    monkeypatch.setattr(
        designing.Designing,
        "_draw",
        lambda self, chunk, *rest: drawn.extend(chunk) or real(self, chunk, *rest),
    )
    out, said = scaffold(*PLAIN, n=4)
    assert drawn == [2, 3]
    assert "2 of 4 designs are done already" in said
    (out / "MADE_1.pdb").write_text("damaged")
    drawn.clear()
    out, said = scaffold(*PLAIN, n=4)
    assert drawn == [1]
    assert "drawn again, since MADE_1.pdb is damaged, or was changed: MADE_1" in said
    assert {k: (out / f"MADE_{k}.pdb").read_bytes() for k in range(2)} == before
    assert len(json.loads((out / "designs.json").read_text())["designs"]) == 4


def test_a_stopped_run_says_what_is_kept_and_goes_on(scaffold, deft, world, tmp_path, monkeypatch):
    real, count = designing.write_design, iter(range(99))

    def stopped(path, design):
        if next(count) == 1:
            raise KeyboardInterrupt
        return real(path, design)

    monkeypatch.setattr(designing, "write_design", stopped)
    given = ("scaffold", "--problem", world / "motif.pdb", "-n", 3, "--prior")
    code, _, errors = deft(
        *given,
        world / "tiny.safetensors",
        *("--steps", 2, "--out", tmp_path / "out", "--judge", "false", *PLAIN),
        *("--batch_size", 1),
    )
    assert code == 130
    assert "1 of 3 designs are in" in errors
    out, said = scaffold(*PLAIN, "--batch_size", "1")
    assert "1 of 3 designs is done already" in said
    assert len(list(out.glob("MADE_*.pdb"))) == 3


def test_designs_that_are_no_chains_are_not_kept(scaffold, deft, world, tmp_path, monkeypatch):
    real = designing.drawn

    def broken(*given, **options):
        x = real(*given, **options)
        x[0], x[1] = x[0] * float("nan"), x[1] * 1e4
        return x

    monkeypatch.setattr(designing, "drawn", broken)
    code, _, errors = deft(
        *("scaffold", "--problem", world / "motif.pdb", "-n", 3, "--steps", 2, "--out"),
        *(tmp_path / "out", "--prior", world / "tiny.safetensors", "--judge", "false", *PLAIN),
    )
    assert code == 1
    assert "designs of MADE that are no chains" in errors
    assert "MADE_0, MADE_1" in errors
    assert [path.name for path in (tmp_path / "out").glob("*.pdb")] == ["MADE_2.pdb"]
    card = json.loads((tmp_path / "out" / "designs.json").read_text())
    assert [one["name"] for one in card["designs"]] == ["MADE_2"]
    monkeypatch.setattr(designing, "drawn", real)
    _, said = scaffold(*PLAIN)
    assert "1 of 3 designs is done already" in said


def test_a_problem_that_does_not_fit_is_left_out_and_said(deft, world, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("motif", "short"):
        (tmp_path / "in" / f"{name}.pdb").write_bytes((world / f"{name}.pdb").read_bytes())
    given = ("--prior", world / "tiny.safetensors", "--steps", 2, "--judge", "false", *PLAIN)
    code, said, errors = deft(
        "scaffold", "--problem", tmp_path / "in", "-n", 1, "--out", tmp_path / "out", *given
    )
    assert code == 0, errors
    assert "left out: the length of" in said
    assert "at least 16" in said
    assert [path.name for path in (tmp_path / "out").glob("*/*.pdb")] == ["MADE_0.pdb"]


def test_designs_that_are_no_chains_do_not_stop_the_next_problem(
    deft, world, tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    for name in ("one", "two"):
        text = (world / "motif.pdb").read_text().replace("MADE", name, 1)
        (tmp_path / "in" / f"{name}.pdb").write_text(text)
    real = designing.drawn

    def broken(prior, method, layouts, *given, **options):
        x = real(prior, method, layouts, *given, **options)
        return x * float("nan") if layouts[0].problem.name == "one" else x

    monkeypatch.setattr(designing, "drawn", broken)
    said = ("--method", "Guidance", "--steps", 2, "--judge", "false", "--page", "false")
    code, _, errors = deft(
        *("scaffold", "--problem", tmp_path / "in", "-n", 2, "--out", tmp_path / "out"),
        *("--prior", world / "tiny.safetensors", *said, "--export_motifbench", tmp_path / "bench"),
    )
    assert code == 1
    assert "designs of one that are no chains" in errors
    assert "a smaller --weight" in errors
    assert "--zeta" not in errors
    assert "are kept" not in errors
    assert not (tmp_path / "out" / "one" / "designs.json").exists()
    assert len(list((tmp_path / "out" / "two").glob("two_*.pdb"))) == 2
    assert [path.name for path in (tmp_path / "bench").iterdir()] == ["two"]


def test_a_folder_where_nothing_was_kept_is_free(deft, world, tmp_path, monkeypatch):
    monkeypatch.setattr(designing, "drawn", lambda *given, **options: torch.full((1, 40, 3), 1e6))
    given = ("scaffold", "--problem", world / "motif.pdb", "-n", 1, "--steps", 2)
    more = ("--prior", world / "tiny.safetensors", "--judge", "false", "--out", tmp_path / "out")
    monkeypatch.setattr(designing, "chains_at_all", lambda x, layouts: [False] * len(x))
    assert deft(*given, *more, "--method", "Guidance")[0] == 1
    monkeypatch.undo()
    code, _, errors = deft(*given, *more, *PLAIN)
    assert code == 0, errors


def test_another_weight_is_another_design(world):
    problem, prior = read_problem(world / "motif.pdb"), zoo.load(world / "tiny.safetensors")

    def origin(weight):
        method, file = method_of(
            None, world / "h.safetensors", prior, 2, None, None, None, (), weight
        )
        run = designing.Designing(world, prior, problem, method, 1, 0, 0.1, 1, h=file)
        return run._origin(0)["h"]

    assert origin(2.0) == origin(2.0)
    assert len({origin(1.0), origin(2.0), origin(3.0)}) == 3


def test_another_method_needs_another_folder(scaffold, deft, world):
    out, _ = scaffold(*PLAIN, n=1)
    given = ["scaffold", "--problem", world / "motif.pdb", "-n", 1, "--method", "Replacement"]
    code, _, errors = deft(
        *given,
        "--prior",
        world / "tiny.safetensors",
        "--steps",
        2,
        "--out",
        out,
        "--judge",
        "false",
    )
    assert code == 2
    assert "method: " in errors
    assert "another configuration" in errors


@pytest.mark.parametrize("name", [*METHODS, "tds", "learned", None])
def test_every_method_has_a_sampler(world, name):
    prior = zoo.load(world / "tiny.safetensors")
    h = world / "h.safetensors" if name in ("DEFT", "learned") else None
    method, file = method_of(name, h, prior, 2, None, None, None, ())
    assert file == h
    assert method.label == {"tds": "TwistedSMC", "learned": "DEFT", None: "Guidance"}.get(
        name, name
    )
    x = for_prior(read_problem(world / "motif.pdb"), prior)
    designing.Designing(Path("."), prior, x, method, 1, 0, 0.1, 1).check()


def test_a_weight_is_given_or_the_one_on_the_card(world, tmp_path):
    prior = zoo.load(world / "tiny.safetensors")
    h, card = checkpoint.load(world / "h.safetensors", prior)
    own = {"problem": card["problem"], "prior_from": card["prior_from"]}
    checkpoint.save(tmp_path / "h.safetensors", h, prior, own | {"weight": 3.0})
    for file, given, expected in (
        (world / "h.safetensors", None, None),
        (tmp_path / "h.safetensors", None, 3.0),
        (tmp_path / "h.safetensors", 1.0, None),
        (world / "h.safetensors", 2.0, 2.0),
    ):
        method, _ = method_of(None, file, prior, 2, None, None, None, (), given)
        assert getattr(method.h_transform, "weight", None) == expected
    guided, _ = method_of("guidance", None, prior, 2, None, None, None, (), 5.0)
    assert guided.h_transform.weight == 5.0


def test_replacement_takes_the_steps_of_the_other_methods(world):
    prior = zoo.load(world / "tiny.safetensors")
    for scale, steps in ((None, 80), (0.3, 5)):
        given = (None, prior, None if scale is None else steps, scale, None, None, ())
        method, _ = method_of("replacement", *given)
        taken = method.sampler.sampler
        assert describe(taken) == describe(cooled(steps, 0.6 if scale is None else scale))
        assert method.sampler.evaluations == steps


def test_what_ships_for_a_prior_is_found(world, monkeypatch, tmp_path):
    prior = zoo.load(world / "tiny.safetensors")
    assert shipped_for(prior) is None
    name = "h-tiny-backbone-motif"
    (tmp_path / f"{name}.safetensors").write_bytes((world / "h.safetensors").read_bytes())
    monkeypatch.setattr(places, "shipped", lambda: ["h-digits-32-box", name])
    monkeypatch.setattr(places, "located", lambda place: tmp_path / f"{place}.safetensors")
    assert shipped_for(prior) == tmp_path / f"{name}.safetensors"
    assert shipped_for(zoo.load(world / "other.safetensors")) is None


def test_lengths_that_the_prior_does_not_know_are_left_out_and_said(world, capsys):
    prior = zoo.load(world / "tiny.safetensors")  # 16 to 40 residues
    problem = read_problem(world / "long.pdb")
    assert problem.possible == (40, 60)
    assert for_prior(problem, prior).possible == (40, 40)
    assert "LONG: designs of 40 to 40 residues, of 40 to 60" in capsys.readouterr().out
    near = read_problem(world / "motif.pdb")
    assert for_prior(near, prior).possible == near.possible
    assert capsys.readouterr().out == ""


def test_all_problems_of_a_table_or_one_by_its_name(scaffold, world):
    out, _ = scaffold(*PLAIN, problem="two.csv", n=1)
    assert sorted(path.name for path in out.glob("*/*.pdb")) == ["AGAIN_0.pdb", "MADE_0.pdb"]
    out, _ = scaffold(*PLAIN, "--name", "AGAIN", problem="two.csv", n=1, out="one")
    assert [path.name for path in out.glob("*.pdb")] == ["AGAIN_0.pdb"]
    two = world / "two.csv"
    refused(lambda: problems_of(two, None, None, None, "OTHER"), "OTHER", "MADE, AGAIN")


def test_two_rigid_bodies_and_mmcif(scaffold, world, tmp_path):
    rows = ((2, 4), ("A", 1, 6, "A"), (3, 5), ("B", 1, 5, "B"), (2, 4))
    motif = genie2(rows, [*chain(6), *chain(5, "B", shift=20.0)], "PAIR", (18, 24))
    (world / "pair.pdb").write_text(motif)
    out, _ = scaffold("--method", "Replacement", "--format", "cif", problem="pair.pdb", n=2)
    card = json.loads((out / "designs.json").read_text())
    assert card["problem"]["groups"] == 2
    assert all(one["measures"]["motif_rmsd"] < 0.01 for one in card["designs"])
    for one in card["designs"]:
        assert len(read_structure(out / one["file"]).chain("A")) == one["residues"]
    assert (out / "report.html").is_file()
    (world / "pair.pdb").unlink()


def test_a_motif_of_single_residues_is_not_counted_as_lost(scaffold, world):
    rows = ((9, 9), ("A", 1, 1, "A"), (5, 5), ("B", 1, 1, "B"), (9, 9))
    motif = genie2(rows, [*chain(1), *chain(1, "B", shift=20.0)], "SINGLE", (25, 25))
    (world / "single.pdb").write_text(motif)
    out, said = scaffold("--method", "Unconditional", problem="single.pdb", n=1)
    (world / "single.pdb").unlink()
    assert "a motif of single residues has no RMSD; what is measured" in said
    assert (
        "motif_rmsd" not in json.loads((out / "designs.json").read_text())["designs"][0]["measures"]
    )


def test_exports_are_written_and_looked_through(scaffold, deft, world, tmp_path):
    full = [line for i, place in enumerate(helix(10)) for line in _four(3 + i, place)]
    (world / "full.pdb").write_text(genie2(protein_world.ROWS, full, "FULL", (20, 30)))
    bench, silico = tmp_path / "bench", tmp_path / "silico"
    _, said = scaffold(
        *("--method", "Replacement", "--page", "false"),
        *("--export_motifbench", bench, "--export_insilico", silico),
        problem="full.pdb",
    )
    assert "FULL: 3 designs; MotifBench asks for 100 of each problem" in said
    rows = (bench / "FULL" / "scaffold_info.csv").read_text().splitlines()
    assert len(rows) == 4
    assert check_folder(silico) == []
    code, said, _ = deft("scaffold", "--check", silico)
    assert code == 0
    assert "nothing wrong was found" in said
    code, said, errors = deft("scaffold", "--check", bench, "--problem", world / "full.pdb")
    assert code == 2
    assert "3 designs" in said
    assert "with 1 fault, said above" in errors
    said = scaffold(
        *("--method", "Unconditional", "--page", "false"),
        *("--export_motifbench", bench, "--export_insilico", silico),
        problem="full.pdb",
        n=2,
        out="free",
    )[1]
    assert "angstrom" in said.split("exported to")[1]  # where the motif is not
    for folder in (bench / "FULL", silico / "motif=FULL" / "pdbs"):
        assert [file.name for file in sorted(folder.glob("*.pdb"))] == ["FULL_0.pdb", "FULL_1.pdb"]
    (world / "full.pdb").unlink()


@pytest.mark.parametrize("several", [False, True])
def test_an_export_never_writes_over_the_designs(scaffold, deft, world, tmp_path, several):
    kept = tmp_path / "designs" / "MADE"
    scaffold(*PLAIN, out="designs/MADE")
    before = {file.name: file.read_bytes() for file in kept.glob("MADE_*.pdb")}
    given = (
        "scaffold",
        "--problem",
        world / "motif.pdb",
        "-n",
        1,
        "--steps",
        2,
        "--judge",
        "false",
    )
    code, _, errors = deft(
        *(*given, "--prior", world / "tiny.safetensors", "--out", kept, *PLAIN),
        *("--export_insilico" if several else "--export_motifbench", tmp_path / "designs"),
    )
    assert code == 2
    assert "another folder than that of the designs themselves" in errors
    assert {file.name: file.read_bytes() for file in kept.glob("MADE_*.pdb")} == before


def _four(number, place):
    """N, CA, C and O of a residue."""
    from tests.data.proteins.made import atom
    from tests.data.proteins.test_design import full

    return [atom(1, name, "LEU", "A", number, at) for name, at in full(place).items()]


def test_a_contig_with_any_structure(deft, world, tmp_path):
    code, _, errors = deft(
        *("scaffold", "--pdb", world / "chain.pdb", "--contig", "5-9/A3-12/5-9"),
        *("--length", "22-24", "--name", "mine", "-n", 2, "--steps", 2, "--judge", "false"),
        *("--prior", world / "tiny.safetensors", "--out", tmp_path / "out", *PLAIN),
    )
    assert code == 0, errors
    card = json.loads((tmp_path / "out" / "designs.json").read_text())
    assert {one["name"] for one in card["designs"]} == {"mine_0", "mine_1"}
    assert all(22 <= one["residues"] <= 24 for one in card["designs"])


@pytest.mark.slow
def test_the_judge_is_asked_once_of_each_design_and_never_ranks(scaffold, monkeypatch):
    from deft.metrics.protein.judge import judge_installed

    if not judge_installed():
        pytest.skip("the judge is not installed")
    out, _ = scaffold(*PLAIN, n=2)
    before = [one["name"] for one in json.loads((out / "designs.json").read_text())["designs"]]
    out, _ = scaffold(*PLAIN, "--judge", "true", n=2)
    card = json.loads((out / "designs.json").read_text())
    assert [one["name"] for one in card["designs"]] == before
    assert all(1 < one["measures"]["entropy"] < 3 for one in card["designs"])
    assert card["judge"]["weaknesses"]
    monkeypatch.setattr("deft.metrics.protein.judge.ProteinJudge.judge", None)
    scaffold(*PLAIN, "--judge", "true", n=2)
