"""GCNdesign: a second, independent network from backbone to residues.

A graph network on the 20 nearest residues by CB (S. Minami, github.com/ShintaroMinami/GCNdesign,
MIT), with torsions as features of nodes and the 36 distances of N, CA, C, O, CB and H as features
of edges, between convolutions along the chain. Built here from that description and the shapes of
the tensors; attributes bear the names of the published tensors. One node of zeros is added at each
end. As published, the CB of the last residue lies at its O, and the H of the first at its N.

The weights come with the package `gcndesign` 2.3.2, of which nothing is imported: its file is a
pickled module, of which the tensors alone are read, each class by an empty one that holds
attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput
from deft.metrics.protein.backbone_atoms import placed_atom
from deft.metrics.protein.wheels import installed

SHA256 = "699ff1393af20abb5f83ce26febaa430670ff36bf7b6b0d24616eba60a39ce0b"
NEIGHBOURS = 20
_MEAN, _SPREAD, _BREAK = 6.4, 2.4, 2.0
_FIRST, _GROWTH, _EDGE, _HIDDEN, _BLOCKS = 20, 20, 36, 256, 5
_CLASSES = (
    *(f"gcndesign.models.{name}" for name in ("GCNdesign", "Embedding_module", "RGCBlock")),
    *(f"gcndesign.models.{name}" for name in ("Prediction_module", "ResBlock_BatchNorm")),
    "gcndesign.models.ResBlock_InstanceNorm",
    "gcndesign.hypara.HyperParam",
    *(f"torch.nn.modules.container.{name}" for name in ("Sequential", "ModuleList")),
    "torch.nn.modules.conv.Conv1d",
    "torch.nn.modules.dropout.Dropout",
    "torch.nn.modules.batchnorm.BatchNorm1d",
    "torch.nn.modules.instancenorm.InstanceNorm1d",
    "torch.nn.modules.activation.ReLU",
)


@final
class GCNdesign(nn.Module):
    """The network: log p of the 20 residues at each place of one chain."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = _Embedding()
        last = _FIRST + _BLOCKS * _GROWTH
        self.prediction = _Prediction(last)

    @torch.no_grad()
    def forward(self, backbone: Tensor) -> Tensor:
        """log p of the residues in the order of `frame2seq.RESIDUES`, (length, 20), in double
        precision, of one backbone (length, 4, 3) of N, CA, C and O. Raises `InvalidInput` for
        chains of 21 residues or fewer.
        """
        if len(backbone) <= NEIGHBOURS + 1:
            raise InvalidInput(
                "GCNdesign",
                given=f"a chain of {len(backbone)} residues",
                expected=f"{NEIGHBOURS + 2} residues or more, since each looks at {NEIGHBOURS}",
            )
        device = next(self.parameters()).device
        nodes, edges, neighbours = graph(backbone.double().to(device))
        logits = self.prediction(self.embedding(nodes.float(), edges.float(), neighbours))
        return torch.log_softmax(logits[1:-1].double(), -1)


def load_gcndesign() -> GCNdesign:
    """GCNdesign from the weights of the installed package, by their SHA-256. Raises `InvalidInput`
    where it is not installed.
    """
    path = installed("gcndesign", "params", "param_default.pkl", sha256=SHA256)
    network = GCNdesign()
    try:
        network.load_state_dict(_tensors(path), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not hold GCNdesign's tensors: {error}") from error
    return network.eval().requires_grad_(False)


def six_atoms(backbone: Tensor) -> Tensor:
    """N, CA, C, O, CB and H of each residue: (length, 6, 3) of N, CA, C and O, of which the last O
    alone is used; others are placed in their peptide planes.
    """
    n, ca, c, o = backbone.unbind(1)
    o = torch.cat([placed_atom(ca[1:], n[1:], c[:-1], 1.24, 122.7, 0.0), o[-1:]])
    h = torch.cat([n[:1], placed_atom(ca[:-1], c[:-1], n[1:], 1.0, 123.0, 0.0)])
    cb = placed_atom(c, n, ca, 1.54, 110.6, -124.4) + placed_atom(n, c, ca, 1.54, 110.6, 121.5)
    cb = torch.cat([cb[:-1] / 2, o[-1:]])
    return torch.stack([n, ca, c, o, cb, h], 1)


def graph(backbone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features of nodes (length + 2, 6), features of edges (length + 2, 20, 36), and the neighbours
    that these lead to (length + 2, 20); the first and last nodes are the zeros at the ends.
    """
    atoms = six_atoms(backbone)
    n, ca, c = backbone[:, 0], backbone[:, 1], backbone[:, 2]
    whole = (n - ca).norm(dim=-1).le(_BREAK) & (ca - c).norm(dim=-1).le(_BREAK)
    joined = (c[:-1] - n[1:]).norm(dim=-1) <= _BREAK
    whole = whole & F.pad(joined, (1, 0), value=True) & F.pad(joined, (0, 1), value=True)
    nodes = F.pad(_torsions(backbone), (0, 0, 1, 1))
    cb = atoms[:, 4]
    near = torch.cdist(cb, cb, compute_mode="donot_use_mm_for_euclid_dist").argsort(1)
    near = near[:, 1 : NEIGHBOURS + 1].sort(1).values
    distance = (atoms[:, None, :, None] - atoms[near][:, :, None]).norm(dim=-1).flatten(2)
    edges = (distance - _MEAN) / _SPREAD * whole[:, None, None]
    first = torch.arange(NEIGHBOURS, device=near.device)[None]
    return nodes, F.pad(edges, (0, 0, 0, 0, 1, 1)), torch.cat([first, near + 1, first])


def _torsions(backbone: Tensor) -> Tensor:
    """sin and cos of phi, psi and omega: (length, 6); 0 where an end lacks the angle."""
    atoms = backbone[:, :3].reshape(-1, 3)
    steps = atoms[1:] - atoms[:-1]
    normal = F.normalize(torch.linalg.cross(steps[:-1], steps[1:]), dim=-1)
    angle = torch.acos((normal[:-1] * normal[1:]).sum(-1).clamp(-1 + 1e-7, 1 - 1e-7))
    angle = torch.where((steps[:-2] * normal[1:]).sum(-1) > 0, angle, -angle)
    both = F.pad(torch.stack([angle.sin(), angle.cos()], -1), (0, 0, 1, 2))
    return both.view(-1, 6)


@final
class _Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        norm = nn.InstanceNorm1d
        self.nodefeature0 = nn.ModuleList(
            [nn.Conv1d(6, 40, 5, padding=2)]
            + [_Residual(40, 40, norm) for _ in range(4)]
            + [_Residual(40, _FIRST, norm), norm(_FIRST, affine=True), nn.ReLU()]
        )
        self.rgclayer = nn.ModuleList(
            [_Block(_FIRST + _GROWTH * i, _EDGE + _GROWTH * i) for i in range(_BLOCKS)]
        )

    def forward(self, nodes: Tensor, edges: Tensor, neighbours: Tensor) -> Tensor:
        nodes = nodes.T[None]
        for part in self.nodefeature0:
            nodes = part(nodes)
        nodes = nodes[0].T
        for part in self.rgclayer:
            nodes, edges = part(nodes, edges, neighbours)
        return nodes


@final
class _Block(nn.Module):
    """Edges, then nodes, each with what is new appended to what was there."""

    def __init__(self, nodes: int, edges: int) -> None:
        super().__init__()
        norm = nn.BatchNorm1d
        self.edgeupdate = nn.ModuleList(
            [nn.Conv1d(edges + 2 * nodes, _HIDDEN, 1)]
            + [_Residual(_HIDDEN, _HIDDEN, norm) for _ in range(2)]
            + [_Residual(_HIDDEN, _GROWTH, norm), norm(_GROWTH), nn.ReLU()]
        )
        self.encoding = nn.ModuleList(
            [nn.Conv1d(edges + _GROWTH + 2 * nodes, _HIDDEN, 1)]
            + [_Residual(_HIDDEN, _HIDDEN, norm) for _ in range(2)]
            + [norm(_HIDDEN), nn.ReLU()]
        )
        self.residual = nn.ModuleList(
            [_Residual(_HIDDEN, _HIDDEN, norm) for _ in range(2)]
            + [_Residual(_HIDDEN, _GROWTH, norm), norm(_GROWTH), nn.ReLU()]
        )

    def forward(self, nodes: Tensor, edges: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        own = nodes[:, None].expand(-1, neighbours.shape[1], -1)
        other = nodes[neighbours]
        more = torch.cat([own, edges, other], 2).mT
        for part in self.edgeupdate:
            more = part(more)
        edges = torch.cat([edges, more.mT], 2)
        found = torch.cat([own, edges, other], 2).mT
        for part in self.encoding:
            found = part(found)
        found = found.sum(2, keepdim=True)
        for part in self.residual:
            found = part(found)
        return torch.cat([nodes, found[..., 0]], 1), edges


@final
class _Residual(nn.Module):
    """Two normalised convolutions of one place, around which the input passes."""

    def __init__(self, into: int, out: int, norm: Any) -> None:
        super().__init__()
        self.bn1, self.conv1 = norm(into, affine=True), nn.Conv1d(into, out, 1)
        self.bn2, self.conv2 = norm(out, affine=True), nn.Conv1d(out, out, 1)
        self.shortcut = nn.Sequential()
        if into != out:
            self.shortcut.add_module("bn", norm(into, affine=True))
            self.shortcut.add_module("conv", nn.Conv1d(into, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.bn1(x)))
        found: Tensor = self.conv2(F.relu(self.bn2(inner))) + self.shortcut(x)
        return found


@final
class _Prediction(nn.Module):
    """Convolutions along the chain: nodes (length, channels) -> logits (length, 20)."""

    def __init__(self, into: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, after in ((into, 128), (128, 64)):
            parts.append(nn.Conv1d(before, after, 5, padding=2))
            parts += [_Residual(after, after, nn.InstanceNorm1d) for _ in range(4)]
            parts += [nn.InstanceNorm1d(after, affine=True), nn.ReLU()]
        self.pred1Dconv = nn.ModuleList([*parts, nn.Conv1d(64, 20, 1)])

    def forward(self, nodes: Tensor) -> Tensor:
        found = nodes.T[None]
        for part in self.pred1Dconv:
            found = part(found)
        return found[0].T


@final
class _Held:
    """What stands for every class of the pickle: attributes, and no behaviour."""


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of the pickled module by their names. Raises `CheckpointError` where it needs any
    other class.
    """
    try:
        with torch.serialization.safe_globals([(_Held, name) for name in _CLASSES]):
            module = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds
        raise CheckpointError(f"{path} is not the file that is read: {error}") from error
    return dict(_walk(module, ""))


def _walk(module: Any, before: str) -> Iterator[tuple[str, Tensor]]:
    held = vars(module)
    for kind in ("_parameters", "_buffers"):
        for name, value in (held.get(kind) or {}).items():
            if value is not None:
                yield before + name, value.detach()
    for name, part in (held.get("_modules") or {}).items():
        yield from _walk(part, f"{before}{name}.")
