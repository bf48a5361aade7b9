"""What `deft scaffold` writes of all designs of a problem, and what it looks through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deft.commands.designing import Designing, Kept
from deft.data.proteins import (
    Fault,
    MotifProblem,
    check_folder,
    export_insilico,
    export_motifbench,
)
from deft.data.proteins.export import check_whole_backbone
from deft.errors import InvalidInput
from deft.metrics.protein.judge import WEAKNESSES, ProteinJudge
from deft.metrics.protein.superposition import HELD
from deft.reports.protein import Drawn, printed, write_page
from deft.storage.claims import write_json
from deft.studies.protein.ranked import DESIGN_MEASURES, ranked
from deft.studies.words import number, some

DESIGNS, PAGE = "designs.json", "report.html"


def write(run: Designing, kept: Sequence[Kept], page: bool, judge: ProteinJudge | None) -> None:
    """designs.json and report.html, and the table on the terminal, best first."""
    order = ranked([one.measures for one in kept])
    best = [kept[i] for i in order]
    card = summary(run, best, judge)
    write_json(run.out / DESIGNS, card)
    if page:
        drawn = [Drawn(one.name, one.design, one.measures) for one in best]
        title = f"Designs for {run.problem.name}"
        write_page(run.out / PAGE, title, _facts(run), drawn, _remarks(judge))
    print(printed([(one.name, one.measures) for one in best]))
    print(f"{_held(kept)}; what is measured is plausibility, no designability")


def _held(kept: Sequence[Kept]) -> str:
    """How many hold their motif, where its RMSD says so."""
    found = [one.measures["motif_rmsd"] for one in kept if "motif_rmsd" in one.measures]
    if kept and not found:
        return "a motif of single residues has no RMSD"
    held = sum(rmsd < HELD for rmsd in found)
    return f"motif within {HELD:g} Å: {held} of {number(len(found), 'design')}"


def summary(run: Designing, best: Sequence[Kept], judge: ProteinJudge | None) -> dict[str, object]:
    """What designs.json holds."""
    problem = run.problem
    return {
        "problem": {
            "name": problem.name,
            "contig": problem.contig,
            "length": list(problem.possible),
            "layouts": str(problem.layouts),
            "motif_residues": len(problem.residues),
            "groups": int(problem.group.max()) + 1,
        },
        "prior": run.prior.name,
        "method": {"label": run.method.label, "notes": run.method.notes, **run.method.card()},
        "seed": run.seed,
        "sigma_y": run.sigma_y,
        "judge": None if judge is None else {"name": judge.name, "weaknesses": list(WEAKNESSES)},
        "measures": {m.key: {"title": m.title, "unit": m.unit} for m in DESIGN_MEASURES},
        "order": "by faults, the fewest first (deft.studies.protein.ranked); the judge has no say",
        "designs": [
            {
                "rank": place,
                "name": one.name,
                "file": f"{one.name}.{run.format}",
                "residues": one.layout.length,
                "contig": one.layout.contig,
                "measures": dict(one.measures),
            }
            for place, one in enumerate(best, start=1)
        ],
    }


def _facts(run: Designing) -> dict[str, str]:
    problem = run.problem
    low, high = problem.possible
    groups = int(problem.group.max()) + 1
    rigid = "one rigid body" if groups == 1 else f"{groups} rigid bodies"
    notes = f", {run.method.notes}" if run.method.notes else ""
    return {
        "Motif": f"{number(len(problem.residues), 'residue')} in {rigid}",
        "Contig": problem.contig,
        "Length": f"{low} to {high} residues; {number(problem.layouts, 'layout')}",
        "Prior": run.prior.name,
        "Method": f"{run.method.label}{notes}",
        "Settings": _settings(run),
        "Seed": str(run.seed),
    }


def _settings(run: Designing) -> str:
    """The numbers that designs depend on, in words."""
    words, sampler = list[str](), run.method.sampler
    weight = getattr(run.method.h_transform, "weight", None)
    if isinstance(weight, float):
        words.append(f"weight {weight:g}")
    if (steps := getattr(getattr(sampler, "smc", sampler), "steps", None)) is not None:
        words.append(number(steps, "step"))
    if (scale := getattr(sampler, "noise_scale", None)) is not None:
        words.append(f"{scale:g} of the noise")
    return ", ".join([*words, f"sigma_y {run.sigma_y:g} Å"])


def _remarks(judge: ProteinJudge | None) -> list[str]:
    remarks = [
        "Faults are motif RMSD (at most 1) and the shares of broken junction bonds, bonds and "
        "bends, of residues that clash and of left-handed helix, what helix and strand lack of "
        "0.4, and how far the radius of gyration is from that of compact chains beyond a tenth.",
        "These measures are plausibility. No sequence was designed and none was folded: nothing "
        "here is designability.",
    ]
    if judge is not None:
        remarks.append(f"Judge: {judge.name}; designs are not ranked by it. {' '.join(WEAKNESSES)}")
    return remarks


def check_exports(
    problems: Sequence[MotifProblem],
    outs: Sequence[Path],
    motifbench: Path | None,
    insilico: Path | None,
) -> None:
    """Raise for a folder that cannot be written to or holds the designs (`outs`) themselves, and
    for motifs that cannot be exported, before anything is drawn.
    """
    for option, folder in (("export_motifbench", motifbench), ("export_insilico", insilico)):
        files = [] if folder is None else [folder, *folder.parents]
        if any(place.exists() and not place.is_dir() for place in files):
            raise InvalidInput(option, given=f"{folder}, a file", expected="a folder")
        if folder is not None:
            written = {(folder / one.name).resolve() for one in problems}
            if any(out.resolve() in written for out in outs):
                raise InvalidInput(
                    option,
                    given=folder,
                    expected="another folder than that of the designs themselves, since an export "
                    "writes over what is there",
                )
    if insilico is not None:
        for problem in problems:
            check_whole_backbone(problem)


def export(kept: Sequence[Kept], motifbench: Path | None, insilico: Path | None) -> None:
    """The designs in the layouts of two pipelines, each looked through."""
    designs = [one.design for one in kept]
    for folder, write_to in ((motifbench, export_motifbench), (insilico, export_insilico)):
        if folder is not None:
            where = write_to(folder, designs)
            problem = kept[0].layout.problem
            print(f"exported to {where}")
            places = [(one.name, f"{problem.name}_{k}") for k, one in enumerate(kept)]
            moved = [f"{own} as {there}" for own, there in places if own != there]
            if moved:  # these layouts number from 0 without gaps
                print(f"numbered otherwise there: {some(moved)}")
            _say_faults(check_folder(where, {problem.name: problem}))


def look_through(folder: Path, problems: Sequence[MotifProblem]) -> None:
    """Say the faults of a folder of designs. Raises `InvalidInput` where it has some."""
    found = check_folder(folder, {problem.name: problem for problem in problems})
    _say_faults(found)
    if found:
        raise InvalidInput(
            "check",
            given=f"{folder}, with {number(len(found), 'fault')}, said above",
            expected="designs that these pipelines take",
        )
    print(f"nothing wrong was found in {folder}")


def _say_faults(found: Sequence[Fault]) -> None:
    for fault in found:
        print(fault)
