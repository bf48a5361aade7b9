"""Proteins: structures from PDB and mmCIF files, and motif problems."""

from deft.data.proteins.contig import from_contig
from deft.data.proteins.parts import Scaffold, Segment
from deft.data.proteins.problem import Layout, MotifProblem
from deft.data.proteins.problems import read_problem, read_problems
from deft.data.proteins.structure import Residue, Structure, read_structure

__all__ = [
    "Layout",
    "MotifProblem",
    "Residue",
    "Scaffold",
    "Segment",
    "Structure",
    "from_contig",
    "read_problem",
    "read_problems",
    "read_structure",
]
