"""Sets of designs: how many different ones there are, and how near they are to a training set.

    diversity     clusters / designs, where designs with TM >= 0.6 are linked (single linkage)
    similarity to a training set, of a design = its largest TM-score to a chain of the set, per
                  residue of the design; a set whose mean is low is novel

Two designs of the same length are compared residue by residue (`tm_score`), others aligned, per
residue of the longer one (`aligned_tm_score`). A training set is too large to align each design
with each chain: only the `keep` chains are aligned that are most alike in the surroundings of
their residues (`surroundings.similarity`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.protein.alignment import aligned_tm_score
from deft.metrics.protein.surroundings import similarity
from deft.metrics.protein.tm_score import tm_score
from deft.metrics.protein.traces import Present, Trace, checked, lengths

SAME_FOLD = 0.6


def pairwise_tm_score(x: Trace, mask: Present | None = None) -> Tensor:
    """The TM-scores of all pairs of designs: (designs, designs), symmetric, 1 on the diagonal."""
    x, mask = checked(x, mask)
    length = lengths(mask)
    i, j = torch.triu_indices(len(x), len(x), 1)
    swap = length[i] < length[j]
    i, j = torch.where(swap, j, i), torch.where(swap, i, j)
    same = length[i] == length[j]
    score = x.new_empty(len(i))
    score[same] = tm_score(x[i[same]], x[j[same]], mask[i[same]])
    score[~same] = aligned_tm_score(x[i[~same]], x[j[~same]], mask[i[~same]], mask[j[~same]])
    table = torch.eye(len(x), dtype=torch.double)
    table[i, j] = table[j, i] = score.cpu()
    return table


def clusters(scores: Tensor, threshold: float = SAME_FOLD) -> Tensor:
    """The cluster of each member, numbered from 0, by single linkage: two members belong together
    where a chain of members leads from one to the other with scores >= `threshold`.
    """
    linked = (scores >= threshold) | torch.eye(len(scores), dtype=torch.bool)
    linked = linked | linked.T
    label = torch.arange(len(scores))
    while True:
        least = torch.where(linked, label, len(label)).amin(1) if len(label) else label
        if bool((least == label).all()):
            number: Tensor = torch.unique(label, return_inverse=True)[1]
            return number
        label = least


def diversity(x: Trace, mask: Present | None = None, threshold: float = SAME_FOLD) -> float:
    """The number of clusters at TM >= `threshold`, over the number of designs: in (0, 1]."""
    found = clusters(pairwise_tm_score(x, mask), threshold)
    return float(len(found.unique())) / len(found)


def nearest_tm_score(
    x: Trace,
    mask: Present | None,
    training: Trace,
    training_mask: Present | None,
    keep: int = 20,
) -> tuple[Tensor, Tensor]:
    """The largest TM-score of each design to the chains of a training set, and which chain it is:
    both (designs,). `keep` chains of each design are aligned.
    """
    x, mask = checked(x, mask)
    training, training_mask = checked(training, training_mask, "training")
    if keep < 1:
        raise InvalidInput("keep", given=keep, expected="a whole number >= 1")
    chosen = similarity(x, mask, training, training_mask)
    chosen = chosen.topk(min(keep, len(training)), 1).indices
    own = torch.arange(len(x)).repeat_interleave(chosen.shape[1])
    other = chosen.flatten()
    score = aligned_tm_score(x[own], training[other], mask[own], training_mask[other])
    best, where = score.view(chosen.shape).max(1)
    return best, chosen.gather(1, where[:, None])[:, 0]
