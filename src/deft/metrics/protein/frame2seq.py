"""Frame2seq: what residue stands where, from the backbone alone.

    p(residue | backbone) = softmax of the mean of the logits of three members

A masked language model on structures (Akpinaroglu et al. 2023, arXiv:2312.02447): invariant point
attention (Jumper et al. 2021, doi:10.1038/s41586-021-03819-2, Algorithm 22) over frames of N, CA
and C, eight layers, with pair features from the distances of N, CA, C and an ideal CB. Built here
from that description and the shapes of the tensors; attributes bear the names of the published
tensors. All residues are masked. One chain at a time, since positions and torsions at its ends
depend on its length.

The weights come with the package `frame2seq` 0.0.8 (MIT), of which nothing is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deft.errors import CheckpointError
from deft.metrics.protein.backbone_atoms import ideal_cb
from deft.metrics.protein.wheels import installed
from deft.storage.weights_only import contents, named

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
SHA256 = (
    "e1da56570b27e10f833da84ae8d9b1b9209ec452649dbe53ae2f54b1c2e61155",
    "48de89eddeab688e8924107139ce185178cb74c9997e7231857bb84e95e07d87",
    "20ec39a3ed02af746fd277a1b95b8cd93db526342a8552581b838e0fbf744198",
)
_DEPTH, _WIDTH, _HEADS, _QUERIES, _VALUES = 8, 128, 4, 4, 8
_WIDER = (1, 4, 4)  # how much wider the transition is in each member
_OFFSETS, _BINS, _FAR = 32, 24, 12.0


@final
@dataclass(frozen=True)
class Shape:
    """Sizes of one member: its layers, how much wider its transitions are, the width of its
    features, and the heads of its attention.
    """

    wider: int
    depth: int = _DEPTH
    width: int = _WIDTH
    heads: int = _HEADS


@final
class Member(nn.Module):
    """One of the three networks: backbone (length, 3 or more, 3) -> logits (length, 21), the last
    being "unknown".
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.sequence_to_single = nn.Linear(6 + width, width)
        self.edge_to_pair = nn.Linear(16 * _BINS + 2 * _OFFSETS + 1, width)
        self.single_to_sequence = nn.Linear(width, 21)
        self.input_sequence_to_single = nn.Linear(21, width)
        self.input_sequence_layer_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            [_layer(shape, last=i == shape.depth - 1) for i in range(shape.depth)]
        )

    def forward(self, backbone: Tensor) -> Tensor:
        """The logits of one chain."""
        rotation, origin = frames(backbone)
        width = self.single_to_sequence.in_features
        single = torch.cat([positions(len(backbone), width, backbone), torsions(backbone)], -1)
        s = self.sequence_to_single(single.float())
        s = s + self.input_sequence_layer_norm(torch.zeros_like(s))  # all residues are masked
        z = self.edge_to_pair(pairs(backbone).float())
        for layer in self.layers:
            s, z = layer(s, z, rotation.float(), origin.float())
        logits: Tensor = self.single_to_sequence(s)
        return logits


@final
class Frame2seq(nn.Module):
    """The members (0, 1, 2), all three or some of them."""

    def __init__(self, members: dict[int, Member]) -> None:
        super().__init__()
        self.numbers = tuple(sorted(members))
        self.members = nn.ModuleList([members[number] for number in self.numbers])

    @torch.no_grad()
    def forward(self, backbone: Tensor) -> Tensor:
        """log p of the 20 residues (`RESIDUES`) at each place of one chain: (length, 20), in double
        precision. "Unknown" is left out, and the rest sums to one.
        """
        device = next(self.parameters()).device
        backbone = backbone.double().to(device)
        logits = torch.stack([member(backbone) for member in self.members]).mean(0)
        return torch.log_softmax(logits[:, :20].double(), -1)


def load_frame2seq(members: tuple[int, ...] = (0, 1, 2)) -> Frame2seq:
    """Frame2seq from the weights of the installed package, by their SHA-256; `members` of 0, 1, 2
    (files model1, model2, model3). Raises `InvalidInput` where it is not installed.
    """
    return Frame2seq({number: _member(number) for number in members}).eval().requires_grad_(False)


def _member(number: int) -> Member:
    path = installed(
        "frame2seq", "trained_models", f"model{number + 1}.ckpt", sha256=SHA256[number]
    )
    state = named(path, contents(path))
    network = Member(Shape(_WIDER[number]))
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not a member of Frame2seq: {error}") from error
    return network


def frames(backbone: Tensor) -> tuple[Tensor, Tensor]:
    """The frame of each residue: its axes as columns (length, 3, 3), and CA (length, 3); the first
    axis leads from N to CA, the second towards C.
    """
    n, ca, c = backbone[:, 0], backbone[:, 1], backbone[:, 2]
    first, second = ca - n, c - ca
    first = first / (first.square().sum(-1, keepdim=True) + 1e-8).sqrt()
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = second / (second.square().sum(-1, keepdim=True) + 1e-8).sqrt()
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1), ca


def torsions(backbone: Tensor) -> Tensor:
    """cos and sin of phi, psi and omega: (length, 6); an angle that an end lacks counts as 0."""
    atoms = backbone[:, :3].reshape(-1, 3)
    steps = F.normalize(atoms[1:] - atoms[:-1], dim=-1)
    normal = F.normalize(torch.linalg.cross(steps[:-1], steps[1:]), dim=-1)
    cosine = (normal[:-1] * normal[1:]).sum(-1).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = torch.sign((steps[:-2] * normal[1:]).sum(-1)) * torch.acos(cosine)
    angle = F.pad(angle, (1, 2)).view(-1, 3)
    return torch.cat([angle.cos(), angle.sin()], -1)


def positions(length: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of the place in the chain: (length, width)."""
    place = torch.arange(length, device=like.device).float()[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(1e4) / width))
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], -1).flatten(1)


def pairs(backbone: Tensor) -> Tensor:
    """Soft bins of the 16 distances between N, CA, C and CB of two residues, and how far apart they
    stand in the chain: (length, length, 449).
    """
    atoms = torch.cat([backbone[:, :3], ideal_cb(backbone)[:, None]], 1)
    length = len(atoms)
    distance = torch.cdist(atoms.flatten(0, 1), atoms.flatten(0, 1))
    middle = torch.linspace(0, _FAR, _BINS, device=atoms.device)
    bins = torch.exp(-(((distance[..., None] - middle) / (_FAR / _BINS)) ** 2))
    bins = bins.view(length, 4, length, 4, _BINS).transpose(1, 2).flatten(2)
    place = torch.arange(length, device=atoms.device)
    offset = (place[:, None] - place[None, :]).clamp(-_OFFSETS, _OFFSETS) + _OFFSETS
    return torch.cat([bins, F.one_hot(offset, 2 * _OFFSETS + 1)], -1)


@final
class _Layer(nn.ModuleList):
    """Attention, normalisation, transition, and, but for the last layer, an update of the pairs;
    places in the list are those of the published tensors.
    """

    def forward(
        self, s: Tensor, z: Tensor, rotation: Tensor, origin: Tensor
    ) -> tuple[Tensor, Tensor]:
        attention, _, normalise, *transition, update = self
        s = normalise(s + attention(s, z, rotation, origin))
        for part in transition:
            s = part(s)
        return s, update(s, z)


def _layer(shape: Shape, last: bool) -> _Layer:
    width, wide = shape.width, shape.width * shape.wider
    transition: list[nn.Module] = [_Transition(wide)]
    if shape.wider > 1:
        transition = [nn.Linear(width, wide), *transition, nn.Linear(wide, width)]
    update = _Unchanged() if last else _PairUpdate(width)
    return _Layer([_PointAttention(shape), nn.Identity(), nn.LayerNorm(width), *transition, update])


@final
class _PointAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.linear_q = nn.Linear(width, width)
        self.linear_kv = nn.Linear(width, 2 * width)
        self.linear_q_points = nn.Linear(width, self.heads * _QUERIES * 3)
        self.linear_kv_points = nn.Linear(width, self.heads * (_QUERIES + _VALUES) * 3)
        self.linear_b = nn.Linear(width, self.heads)
        self.head_weights = nn.Parameter(torch.zeros(self.heads))
        out = self.heads * (width + width // self.heads + _VALUES * 4)
        self.linear_out = nn.Linear(out, width)

    def forward(self, s: Tensor, z: Tensor, rotation: Tensor, origin: Tensor) -> Tensor:
        length = len(s)
        q = self.linear_q(s).view(length, self.heads, -1)
        k, v = self.linear_kv(s).view(length, self.heads, -1).chunk(2, -1)
        q_points = self._points(self.linear_q_points(s), rotation, origin)
        kv_points = self._points(self.linear_kv_points(s), rotation, origin)
        k_points, v_points = kv_points.split([_QUERIES, _VALUES], 2)
        apart = (q_points[:, None] - k_points[None]).square().sum((-1, -2))  # (i, j, head)
        scale = F.softplus(self.head_weights) * math.sqrt(1 / (3 * _QUERIES * 9 / 2))
        logits = torch.einsum("ihc,jhc->ijh", q, k) / math.sqrt(3 * q.shape[-1])
        logits = logits + self.linear_b(z) / math.sqrt(3) - scale * apart / 2
        weight = logits.softmax(1)
        seen = torch.einsum("ijh,jhc->ihc", weight, v).flatten(1)
        points = torch.einsum("ijh,jhpx->ihpx", weight, v_points)
        points = torch.einsum("ihpx,ixy->ihpy", points - origin[:, None, None], rotation)
        size = (points.square().sum(-1) + 1e-8).sqrt().flatten(1)
        pair = torch.einsum("ijh,ijc->ihc", weight, z).flatten(1)
        points = points.flatten(1, 2)
        out: Tensor = self.linear_out(torch.cat([seen, *points.unbind(-1), size, pair], -1))
        return out

    def _points(self, flat: Tensor, rotation: Tensor, origin: Tensor) -> Tensor:
        """Points of each residue, out of its frame: (length, heads, points, 3)."""
        local = torch.stack(flat.chunk(3, -1), -1)
        moved = torch.einsum("ixy,ipy->ipx", rotation, local) + origin[:, None]
        return moved.view(len(flat), self.heads, -1, 3)


@final
class _Transition(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Three(width)])
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, s: Tensor) -> Tensor:
        found: Tensor = self.layer_norm(self.layers[0](s))
        return found


@final
class _Three(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2, self.linear_3 = (nn.Linear(width, width) for _ in range(3))

    def forward(self, s: Tensor) -> Tensor:
        inner = F.relu(self.linear_2(F.relu(self.linear_1(s))))
        found: Tensor = s + self.linear_3(inner)
        return found


@final
class _PairUpdate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.initial_embed = nn.Linear(width, width // 2)
        self.trunk = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 2 * width), nn.ReLU()
        )
        self.final_layer = nn.Linear(2 * width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, s: Tensor, z: Tensor) -> Tensor:
        one = self.initial_embed(s)
        both = torch.broadcast_tensors(one[:, None], one[None])
        edge = torch.cat([z, *both], -1)
        found: Tensor = self.layer_norm(self.final_layer(self.trunk(edge) + edge))
        return found


@final
class _Unchanged(nn.Module):
    def forward(self, s: Tensor, z: Tensor) -> Tensor:
        return z
