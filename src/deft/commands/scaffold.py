"""`deft scaffold`."""

from __future__ import annotations

import sys
from pathlib import Path

from deft.commands import inputs, priors
from deft.commands.designing import Designing, Format
from deft.commands.on_card import prior_of
from deft.commands.priors import Names
from deft.commands.scaffold_inputs import (
    METHODS,
    check_prior,
    fitting,
    method_of,
    problems_of,
)
from deft.commands.scaffold_results import (
    check_exports,
    export,
    look_through,
    write,
)
from deft.errors import SamplesNotFinite, at_least_one
from deft.metrics.protein.judge import ProteinJudge, judge_installed, load_protein_judge
from deft.priors.details import Details
from deft.storage import claims
from deft.storage.lock import locked
from deft.studies.words import number
from deft.training import places

EXAMPLE = (
    "deft scaffold --problem 5TPN.pdb -n 16\n"
    '    deft scaffold --pdb in.pdb --contig "10-40/A163-181/10-40" --length 50-75'
)
SHORT = {"-n": "--designs"}
_PRIOR = "backbone-128"
_FREE = (
    "designs",
    "batch_size",
    "judge",
    "page",
    "out",
    "config",
    "export_motifbench",
    "export_insilico",
)
HELP = {
    "problem": "motif problems that say their own: a PDB file of Genie 2 or MotifBench, a folder "
    "of them, or a benchmark.csv; all of them are designed for, each in a folder of its name",
    "pdb": "in place of --problem: any PDB or mmCIF file that holds the motif",
    "contig": "with --pdb, what is kept of it and how long the scaffolds are: "
    '"10-40/A163-181/10-40"; ;B after a segment makes it a rigid body of its own',
    "length": "with --contig, the residues of the whole design: 65, or 50-75",
    "name": "one problem of --problem; with --pdb, what the designs are called (default: the file)",
    "designs": "how many, also -n; more of them later leaves the first as they are",
    "out": "where designs go; default: designs/NAME. The same command goes on from what is there",
    "prior": "a prior of backbones: one that ships, a checkpoint of Genie, or your own as in deft "
    f"train; default: the one on the card of --h, or {_PRIOR}",
    "h": "a learned h-transform: the run folder of deft train, its h.safetensors, or a name; "
    "default: the one that ships for the prior",
    "method": "in place of --h: " + "; ".join(f"{name} ({what})" for name, what in METHODS.items()),
    "steps": "evaluations of the prior per design (default: 80, or the sampler on the card of --h)",
    "noise_scale": "the share of DDPM's noise at noise levels below 6 angstrom, from 0 to 1: less "
    "of it makes more typical and less diverse chains (default: 0.6, or the sampler on the card)",
    "zeta": "the step size of DPS (default: 1.7)",
    "weight": "what the motif adds to the prior's estimate times this, by DEFT and Guidance: more "
    "than 1 for chains more typical of the motif (default: the one on the card of --h, or 1; 4 "
    "for Guidance)",
    "particles": "those of TwistedSMC for each design (default: 8)",
    "sigma_y": "how far the motif may be from its place, in angstrom",
    "batch_size": "chains denoised at once; changes no design",
    "format": "of the designs: pdb or cif",
    "judge": "the two numbers of the learned judge (docs/protein.md): default where it is "
    "installed; designs are never ranked by it",
    "page": "write report.html: the designs in a viewer, contact maps, measures",
    "export_motifbench": "a folder: the designs in the layout of MotifBench too",
    "export_insilico": "a folder: the designs in that of the in-silico design pipeline too",
    "check": "look through a folder of designs for what these pipelines do not forgive, and draw "
    "none; with --problem the motifs are compared too",
    "allow": priors.ALLOW_HELP,
    "details": priors.HELP["details"],
}


def run(
    problem: Path | None = None,
    pdb: Path | None = None,
    contig: str | None = None,
    length: str | None = None,
    name: str | None = None,
    designs: int = 16,
    out: Path | None = None,
    prior: str | None = None,
    h: Path | None = None,
    method: str | None = None,
    steps: int | None = None,
    noise_scale: float | None = None,
    zeta: float | None = None,
    weight: float | None = None,
    particles: int | None = None,
    sigma_y: float = 0.1,
    seed: int = 0,
    batch_size: int = 16,
    format: Format = "pdb",
    judge: bool | None = None,
    page: bool = True,
    export_motifbench: Path | None = None,
    export_insilico: Path | None = None,
    check: Path | None = None,
    details: Details | None = None,
    allow: Names | None = None,
    *,
    resolved: str = "",
) -> None:
    """Design protein backbones around a motif, with any prior of backbones.

    Writes each design as NAME_NUMBER.pdb (C-alpha trace, and N, C and O rebuilt from it; residues
    of the motif keep their names, all others are GLY), designs.json (measures, best first),
    report.html, and done.jsonl, which remembers by content what each came from. Layouts are drawn
    uniformly over all that the problem allows. What is measured is plausibility, which says nothing
    of a sequence that folds into it.
    """
    if check is not None:
        inputs.unused(
            "with --check, which draws nothing",
            out=out,
            prior=prior,
            h=h,
            method=method,
            steps=steps,
            noise_scale=noise_scale,
            zeta=zeta,
            weight=weight,
            particles=particles,
            export_motifbench=export_motifbench,
            export_insilico=export_insilico,
        )
        if problem is None and pdb is None:
            inputs.unused("with --check and no --problem", name=name, contig=contig, length=length)
        named = problem is not None or pdb is not None
        look_through(check, problems_of(problem, pdb, contig, length, name) if named else [])
        return
    at_least_one({"designs": designs, "batch_size": batch_size, "steps": steps})
    found = problems_of(problem, pdb, contig, length, name)
    several = len(found) > 1
    where = out or Path("designs") / (problem.stem if several and problem else found[0].name)
    for given in (problem, pdb):
        inputs.apart(where, given)
    outs = [where / one.name if several else where for one in found]
    check_exports(found, outs, export_motifbench, export_insilico)
    h = None if h is None else places.fetched(h)
    allowed = priors.names(allow)
    network = check_prior(
        priors.opened(
            prior or (_PRIOR if h is None else prior_of(h)),
            None,
            None,
            None,
            None,
            fetch=prior is not None,  # what a file names is not downloaded
            allow=allowed,
            details=details,
            h=h,
        )
    )
    chosen, file = method_of(
        method, h, network, steps, noise_scale, zeta, particles, allowed, weight
    )
    judged_by = _judge(judge)
    runs = [
        Designing(
            where / one.name if several else where,
            network,
            one,
            chosen,
            designs,
            seed,
            sigma_y,
            batch_size,
            format,
            file,
        )
        for one in fitting(found, network)
    ]
    for one in runs:
        one.check()
    total, lost = 0, list[SamplesNotFinite]()
    with locked(where):
        claims.claim_yaml(where, resolved, "deft scaffold", free=_FREE)
        for one in runs:
            if several:
                print(one.problem.name)
            try:
                one.run()
            except SamplesNotFinite as error:  # what was drawn besides is written all the same
                lost.append(error)
            if judged_by is not None:
                one.judge(judged_by)
            kept = one.kept()
            total += len(kept)
            if kept:
                write(one, kept, page, judged_by)
                export(kept, export_motifbench, export_insilico)
        if not any(one.begun for one in runs):
            claims.release_yaml(where)
    for one_lost in lost[:-1]:
        print(f"error: {one_lost}", file=sys.stderr)
    if lost:
        raise lost[-1]
    print(f"{number(total, 'design')} in {where}")


def _judge(wanted: bool | None) -> ProteinJudge | None:
    """The learned judge, where it is installed and not refused; one that is asked for and missing
    is an error.
    """
    if wanted or (wanted is None and judge_installed()):
        return load_protein_judge()
    return None
