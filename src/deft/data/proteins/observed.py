"""A prior of backbones and what it is conditioned on, of layouts.

y_i = the C-alpha atoms of the motif,    index_i = where they stand in design i
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from deft import checks
from deft.data.proteins.problem import Layout
from deft.data.proteins.stacked import stacked_motifs
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.motif import AlignedMotif
from deft.priors.backbone import BackbonePrior


def observed(
    prior: BackbonePrior, layouts: Sequence[Layout], sigma_y: float = 0.1
) -> tuple[BackbonePrior, Observation]:
    """The prior of chains of these lengths, one each, and their motifs, known up to a rigid motion
    of each group; `sigma_y` in angstrom.

    y is centred, each group by itself. Raises `InvalidInput` for designs that are longer than the
    prior's longest chain, and for none.
    """
    index, group, y = stacked_motifs(layouts)
    sigma_y = checks.non_negative("sigma_y", sigma_y, "in angstrom")
    told = prior.of_length(*(layout.length for layout in layouts))
    operator = AlignedMotif(index, group, told.event_shape[0])
    eye = torch.eye(3, dtype=y.dtype).expand(len(layouts), operator.groups, 3, 3)
    y = operator.turned(y, eye).to(prior.dtype)
    return told, Observation(y, GaussianLikelihood(operator, sigma_y)).to(prior.device)
