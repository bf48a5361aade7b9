"""The chains that `train_backbone.py` reads: splits by cluster, and what is left out.

A file like `ca_backbones.npz` holds `coords` (all chains, one after the other, in angstrom),
`lengths`, `ids` (a PDB code first), `sequences`, `cluster` and `nonredundant`. Clusters, not
chains, are drawn for training (80 %), validation and test (10 % each). A cluster is used for
nothing if one of its chains is the protein that a benchmark motif comes from: its PDB code is named
in the motif files, or a segment of the motif of at least 9 residues occurs in its sequence with at
least 75 % of its residues the same.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

LENGTHS = (50, 128)
"""The lengths that the prior knows."""
BUCKETS = (64, 96, 128)
_SHARES = (0.5, 0.3, 0.2)
_THREE = dict(
    zip(
        textwrap.wrap("ALAARGASNASPCYSGLNGLUGLYHISILELEULYSMETPHEPROSERTHRTRPTYRVAL", 3),
        "ARNDCQEGHILKMFPSTWYV",
        strict=True,
    )
)


@dataclass(frozen=True)
class Chains:
    """Chains with their clusters; `whole` are those that the prior is of."""

    coordinates: Sequence[np.ndarray]
    sequences: Sequence[str]
    ids: Sequence[str]
    clusters: np.ndarray
    weights: np.ndarray

    def take(self, index: np.ndarray) -> Chains:
        """Some of them."""
        return Chains(
            [self.coordinates[i] for i in index],
            [self.sequences[i] for i in index],
            [self.ids[i] for i in index],
            self.clusters[index],
            self.weights[index],
        )


def read(file: Path) -> Chains:
    """All chains of the file."""
    z = dict(np.load(file))
    ends = np.cumsum(z["lengths"])[:-1]
    return Chains(
        np.split(z["coords"].astype(np.float32), ends),
        z["sequences"].tolist(),
        z["ids"].tolist(),
        z["cluster"],
        np.where(z["nonredundant"], 1.0, 0.3),
    )


def motif_segments(folder: Path) -> tuple[set[str], list[str]]:
    """The PDB codes that motif files name, and the sequences of their segments."""
    codes: set[str] = set()
    segments: list[str] = []
    for file in sorted(folder.rglob("*.pdb")):
        text = file.read_text()
        codes |= {
            code.lower()
            for line in re.findall(r"^REMARK 999 (?:PDB|NAME) +(.*)$", text, re.MULTILINE)
            for code in re.findall(r"\b\d[A-Za-z0-9]{3}(?![A-Za-z0-9])", line)
        }
        codes |= {code.lower() for code in re.findall(r"\d[A-Za-z][A-Za-z0-9]{2}", file.stem)}
        last, current = None, ""
        for line in text.splitlines():
            if line[:4] == "ATOM" and line[12:16].strip() == "CA":
                place = (line[21], int(line[22:26]))
                if last is None or place[0] != last[0] or place[1] != last[1] + 1:
                    segments.append(current)
                    current = ""
                current += _THREE.get(line[17:20], "X")
                last = place
        segments.append(current)
    return codes, [segment for segment in segments if len(segment) >= 9]


def left_out(chains: Chains, motifs: Path) -> set[int]:
    """The clusters that hold a benchmark motif's own protein."""
    codes, segments = motif_segments(motifs)
    found = {
        int(cluster)
        for name, cluster in zip(chains.ids, chains.clusters, strict=True)
        if name[:4].lower() in codes
    }
    letters = [np.frombuffer(s.encode(), np.uint8) for s in chains.sequences]
    for segment in segments:
        wanted = np.frombuffer(segment.encode(), np.uint8)
        for own, cluster in zip(letters, chains.clusters, strict=True):
            if len(own) >= len(wanted):
                windows = np.lib.stride_tricks.sliding_window_view(own, len(wanted))
                if (windows == wanted).mean(1).max() >= 0.75:
                    found.add(int(cluster))
    return found


def split(chains: Chains, motifs: Path | None, kept: Path | None = None) -> dict[str, Chains]:
    """Chains for "train", "val" and "test", by cluster; `motifs` is the folder of the benchmark.
    The clusters that are left out are written to `kept`, and read from there if they are known.
    """
    clusters = np.unique(chains.clusters)
    order = np.random.default_rng(0).permutation(clusters)
    tenth = len(order) // 10
    parts = {"val": order[:tenth], "test": order[tenth : 2 * tenth], "train": order[2 * tenth :]}
    if kept is not None and kept.exists():
        barred = set(json.loads(kept.read_text()))
    else:
        barred = left_out(chains, motifs) if motifs else set()
        if kept is not None:
            kept.write_text(json.dumps(sorted(barred)))
    return {
        name: chains.take(
            np.flatnonzero(np.isin(chains.clusters, [c for c in part if int(c) not in barred]))
        )
        for name, part in parts.items()
    }


def gyration(x: np.ndarray) -> float:
    """The radius of gyration."""
    return float(np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()))


@dataclass(frozen=True)
class Batches:
    """Batches of one bucket of lengths each: whole chains, and compact windows of longer ones.

    A window is compact if its radius of gyration is below the 75 % quantile of whole chains of its
    length, 2.2 n^0.38 times `compact`.
    """

    chains: Chains
    windows: float = 0.4
    compact: float = 1.13
    pairs: int = 50_000

    def draw(self, generator: np.random.Generator) -> tuple[Tensor, list[int]]:
        """x_0 (batch, bucket, 3) with zeros after the end of each, and their lengths."""
        bucket = int(generator.choice(len(BUCKETS), p=_SHARES))
        most = BUCKETS[bucket]
        least = LENGTHS[0] if bucket == 0 else BUCKETS[bucket - 1] + 1
        sizes = np.array([len(x) for x in self.chains.coordinates])
        whole = np.flatnonzero((sizes >= least) & (sizes <= most))
        longer = np.flatnonzero(sizes > least + 8)
        weights = self.chains.weights
        found = []
        for _ in range(max(self.pairs // most**2, 2)):
            if generator.random() >= self.windows:
                i = int(generator.choice(whole, p=weights[whole] / weights[whole].sum()))
                found.append(self.chains.coordinates[i])
                continue
            for _ in range(50):
                i = int(generator.choice(longer, p=weights[longer] / weights[longer].sum()))
                n = int(generator.integers(least, min(most, sizes[i]) + 1))
                start = int(generator.integers(0, sizes[i] - n + 1))
                x = self.chains.coordinates[i][start : start + n]
                if gyration(x) < self.compact * 2.2 * n**0.38:
                    break
            found.append(x)
        return padded(found, most), [len(x) for x in found]


def padded(chains: Sequence[np.ndarray], n: int) -> Tensor:
    """Chains about their means, with zeros up to n."""
    x_0 = torch.zeros(len(chains), n, 3)
    for row, x in enumerate(chains):
        x_0[row, : len(x)] = torch.from_numpy(x - x.mean(0))
    return x_0
