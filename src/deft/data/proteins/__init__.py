"""Proteins: structures from PDB and mmCIF files, and motif problems."""

from deft.data.proteins.chains import read_chains
from deft.data.proteins.check import check_folder
from deft.data.proteins.contig import from_contig
from deft.data.proteins.design import Design, designs_of, write_design
from deft.data.proteins.export import export_insilico, export_motifbench
from deft.data.proteins.faults import Fault
from deft.data.proteins.observed import observed
from deft.data.proteins.parts import Scaffold, Segment
from deft.data.proteins.problem import Layout, MotifProblem
from deft.data.proteins.problems import read_problem, read_problems
from deft.data.proteins.stacked import stacked_motifs
from deft.data.proteins.structure import Residue, Structure, read_structure

__all__ = [
    "Design",
    "Fault",
    "Layout",
    "MotifProblem",
    "Residue",
    "Scaffold",
    "Segment",
    "Structure",
    "check_folder",
    "designs_of",
    "export_insilico",
    "export_motifbench",
    "from_contig",
    "observed",
    "read_chains",
    "read_problem",
    "read_problems",
    "read_structure",
    "stacked_motifs",
    "write_design",
]
