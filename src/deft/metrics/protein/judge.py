"""An independent learned judge of backbones: two networks that say which residues fit them.

    entropy            mean over places of  -sum_a p(a) log p(a),  p of Frame2seq
    cross likelihood   mean over places of  -log q(argmax_a p(a)), q of GCNdesign
    compatibility      mean over motif residues of -log p(a_i),    a_i the motif's own residues

all in nats, lower is more native. Natives have sequences of which both networks are sure, and on
which they agree; noise of 0.3 angstrom raises both numbers, a straight helix the second. Both read
N, CA and C, which are rebuilt from the trace after its bonds are restored (`backbone_atoms`).
Rebuilding costs much of what they know, so that natives must go through the same steps and stand
beside the designs in every table.

Entropies of one member and of three are different numbers; a judge says which it has. Never choose
designs by it: that ends its independence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.geometry import superposed
from deft.metrics.protein.backbone_atoms import rebuilt, restored_bonds
from deft.metrics.protein.frame2seq import RESIDUES, Frame2seq, load_frame2seq
from deft.metrics.protein.gcndesign import GCNdesign, load_gcndesign
from deft.metrics.protein.traces import Present, Trace, checked, lengths
from deft.metrics.protein.wheels import is_installed

WEAKNESSES = (
    "No sequence was folded: this is no self-consistency and no designability.",
    "Noise of 0.3 angstrom on the trace costs as much as a wrong fold.",
    "Natives from NMR score worse than others; many natives were in the networks' training sets.",
    "Compare within one table alone: entropies of one member and of three differ.",
)


@final
@dataclass(frozen=True)
class Judged:
    """What the judge says of backbones: entropy and cross likelihood in nats, (chains,), and the
    most probable residues of each.
    """

    entropy: Tensor
    cross_likelihood: Tensor
    sequences: tuple[str, ...]


@final
@dataclass(frozen=True)
class Compatibility:
    """How well a scaffold suits the residues of its motif: the negative log-likelihood in nats, and
    the share of residues that are the most probable ones, both (chains,).
    """

    nll: Tensor
    recovery: Tensor


@final
class ProteinJudge:
    """Frame2seq and GCNdesign side by side."""

    def __init__(self, frame2seq: Frame2seq, gcndesign: GCNdesign) -> None:
        self.frame2seq, self.gcndesign = frame2seq, gcndesign

    @property
    def name(self) -> str:
        """Which networks, for tables."""
        members = ", ".join(str(number + 1) for number in self.frame2seq.numbers)
        return f"Frame2seq 0.0.8 (member {members}), GCNdesign 2.3.2"

    def judge(self, x: Trace, mask: Present | None = None, restore: bool = True) -> Judged:
        """Entropy and cross likelihood of traces of 22 residues or more; without `restore` the
        bonds stay as they are.
        """
        x, mask = checked(x, mask)
        backbone = rebuilt(restored_bonds(x, mask) if restore else x, mask)
        entropies, crosses, sequences = [], [], []
        for chain, count in zip(backbone, lengths(mask).tolist()):
            log_p, log_q = self.frame2seq(chain[:count]), self.gcndesign(chain[:count])
            best = log_p.argmax(1)
            entropies.append(-(log_p.exp() * log_p).sum(1).mean())
            crosses.append(-log_q.gather(1, best[:, None]).mean())
            sequences.append("".join(RESIDUES[residue] for residue in best.tolist()))
        return Judged(torch.stack(entropies), torch.stack(crosses), tuple(sequences))

    def compatibility(
        self,
        x: Trace,
        index: Tensor,
        group: Tensor,
        motif: Tensor,
        residues: str,
        mask: Present | None = None,
        restore: bool = True,
    ) -> Compatibility:
        """How well scaffolds suit their motif, whose own atoms take the place of rebuilt ones.

        `index` (chains, m) or (m,) are the residues that hold the motif, `group` (m,) its groups,
        `motif` (m, 3, 3) its N, CA and C, each group in any frame, `residues` its m one-letter
        codes; X counts for nothing. As a difference to the native scaffold of the same motif, as a
        mean over designs; of one design it is too noisy.
        """
        x, mask = checked(x, mask)
        index = index.expand(len(x), -1)
        if not len(residues) == index.shape[1] == len(group) == len(motif):
            raise InvalidInput(
                "residues",
                given=f"{len(residues)} residues, {index.shape[1]} places, {len(motif)} of atoms",
                expected="as many of each",
            )
        backbone = rebuilt(restored_bonds(x, mask) if restore else x, mask)
        label = torch.tensor([RESIDUES.find(residue) for residue in residues])
        known = label >= 0
        nll, recovery = [], []
        for chain, place, count in zip(backbone, index, lengths(mask).tolist()):
            whole = with_motif(chain[:count], place, group, motif.double())
            log_p = self.frame2seq(whole).cpu()[place[known].cpu()]
            nll.append(-log_p.gather(1, label[known][:, None]).mean())
            recovery.append((log_p.argmax(1) == label[known]).double().mean())
        return Compatibility(torch.stack(nll), torch.stack(recovery))


def load_protein_judge(members: Sequence[int] = (0, 1, 2)) -> ProteinJudge:
    """The judge from the installed weights; `members` of Frame2seq, of 0, 1, 2. Raises
    `InvalidInput` where the packages are not installed.
    """
    return ProteinJudge(load_frame2seq(tuple(members)), load_gcndesign())


def judge_installed() -> bool:
    """Whether the packages that bring the weights are there."""
    return is_installed("frame2seq") and is_installed("gcndesign")


def with_motif(backbone: Tensor, index: Tensor, group: Tensor, motif: Tensor) -> Tensor:
    """A backbone (length, 4, 3) with N, CA and C of a motif (m, 3, 3) in place of its own, each
    group laid on the residues `index` that hold it: on their CA, and where these leave the rotation
    open (groups of one or two residues) on the rebuilt N and C, which weigh a hundredth.
    """
    found = backbone.clone()
    for one in group.unique().tolist():
        own = group == one
        atoms, held = motif[own], backbone[index[own], :3]
        weights = torch.tensor([0.01, 1.0, 0.01], dtype=torch.double, device=atoms.device)
        moved = superposed(atoms.flatten(0, 1), held.flatten(0, 1), weights.repeat(len(atoms)))
        found[index[own], :3] = moved.view_as(atoms)
    return found
