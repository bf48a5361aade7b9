"""Genie: a diffusion model of C-alpha traces, from its published checkpoints.

    x_t = alpha_t x_0 + sigma_t eps in angstrom,    alpha_k = cos(pi/2 (k + 1) / (T + 1)),  k < T
    eps_hat = x_t - origins of the refined frames,    x_0_hat = (x_t - sigma_t eps_hat) / alpha_t

Lin & AlQuraishi 2023, arXiv:2301.12485; weights and configurations of aqlaboratory/genie. The
network is deft.networks.genie, written anew. What the published weights depend on, and is kept:

- the waves of a residue's place depend on the length that chains are padded to, so that every chain
  is padded to `maximumNumResidues`, and costs as much as the longest one;
- x_t is in angstrom and not centred: noise has 3 n dimensions. The network moves with the chain;
- t is entry k of the table, 0 to T - 1, whose betas are cut at 0.999.

The original takes the cross products of its frames along the first axis of size 3, which is that of
the batch where it holds 3 chains; here it is always that of the coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.networks.genie import GenieNetwork, Sizes
from deft.priors import genie_configuration, predictions
from deft.priors.backbone import BackbonePrior
from deft.priors.details import Details, check_all
from deft.priors.genie_configuration import Configuration
from deft.schedules import Schedule, VPTabulated
from deft.storage import lightning, weights_only
from deft.storage.fingerprint import fingerprint
from deft.storage.tensors import finite
from deft.types import Signal, Times

PREFIXES = ("model.", "module.")
_FIRST = "single_feature_net.linear.weight"
_MARKS = (_FIRST, "pair_feature_net.linear_template.weight", "structure_net.net.0.ipa.head_weights")
_MOTIF = "pair_feature_net.linear_motif_template.weight"  # of Genie 2
_LARGEST_BETA = 0.999


@final
class GeniePrior(BackbonePrior):
    """Genie's network as a prior of chains of 3 to `maximumNumResidues` residues.

    `scale`, the standard deviation of a coordinate in angstrom, is that of compact chains of the
    greatest length unless it is said: 2.2 n^0.38 / sqrt(3), since their radius of gyration is about
    2.2 n^0.38 (Skolnick et al. 1997).
    """

    centred = False
    padded = True
    min_length = 3
    prediction = "epsilon"

    def __init__(
        self, network: GenieNetwork, *, scale: float | None = None, name: str = "genie"
    ) -> None:
        super().__init__(network.sizes.most)
        self.network, self._name = network, name
        self.schedule = schedule(network.sizes.entries)
        self.scale = checks.positive(
            "scale",
            2.2 * self.max_length**0.38 / math.sqrt(3) if scale is None else scale,
            "the standard deviation of a coordinate, in angstrom",
        )
        self.frozen()

    @property
    def name(self) -> str:
        return self._name

    def estimate(self, x_t: Signal, t: Times, mask: Bool[Tensor, "batch places"]) -> Signal:
        alpha_t, sigma_t = self.levels(x_t, t)
        entry = self.schedule.told(t).to(x_t.device).expand(len(x_t))
        eps_hat = self.network(x_t.to(self.network_dtype), entry, mask).to(x_t.dtype)
        return predictions.prediction("epsilon").x_0_hat(eps_hat, x_t, alpha_t, sigma_t)

    def identity(self) -> dict[str, object]:
        """That of any chain prior; the hash covers what weights do not say of the network too."""
        known, sizes = super().identity(), sorted(vars(self.network.sizes).items())
        return {**known, "hash": fingerprint(str(sizes), known["hash"])[:16]}


def load(
    checkpoint: str | Path,
    configuration: str | Path | None = None,
    *,
    scale: float | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> GeniePrior:
    """The prior of a checkpoint (a `.ckpt` of PyTorch Lightning, or weights alone in a `.pt` or a
    safetensors file) with its `configuration`; without one that which lies with the checkpoint.

    Raises `InvalidInput` where there is no configuration, and `CheckpointError` for a file that is
    damaged or has other weights, and for a configuration that disagrees with it, with the key.
    """
    path = Path(checkpoint).expanduser()
    tensors = weights_only.named(path, lightning.contents(path))
    config = None
    if configuration is not None:
        config = genie_configuration.read(Path(configuration).expanduser())
    prior = _built(path, without_prefix(tensors), config, scale)
    return prior.to(device=device, dtype=dtype)


def schedule(entries: int = 1000) -> VPTabulated:
    """Genie's table: alpha_k^2 = cos^2(pi/2 (k + 1) / (T + 1)), with betas of 0.999 at most."""
    kept = [math.cos(math.pi / 2 * i / (entries + 1)) ** 2 for i in range(entries + 1)]
    return VPTabulated([min(1 - b / a, _LARGEST_BETA) for a, b in pairwise(kept)])


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without what Lightning and training on several devices put before each name."""
    for prefix in PREFIXES * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return dict(tensors)


def is_it(content: object) -> bool:
    """Whether a file holds weights of this network, not of Genie 2."""
    try:
        names = without_prefix(weights_only.named("", content))
    except CheckpointError:
        return False
    return all(mark in names for mark in _MARKS) and _MOTIF not in names


def prior_of(
    path: Path,
    content: object,
    details: Details,
    schedule: Schedule | str | None,
    prediction_type: str | None,
) -> GeniePrior:
    """As `load`, from what was read. Raises `InvalidInput` for what a configuration says too."""
    config = _config(path, details, schedule, prediction_type)
    return _built(path, without_prefix(weights_only.named(path, content)), config, None)


def rows(sizes: Sizes) -> dict[str, str]:
    """What shapes say, in words."""
    pairs = f"{sizes.pair_layers} of width {sizes.pair}"
    attended = f", with triangular attention of {sizes.attending} heads" if sizes.attending else ""
    return {
        "pair layers": f"{pairs}, triangles of width {sizes.multiplied or 'none'}{attended}",
        "structure": f"{sizes.structure_layers} layers of width {sizes.single}, {sizes.heads} "
        f"heads of {sizes.head}, {sizes.query_points} query points, {sizes.value_points} points",
    }


def said(
    path: Path,
    content: object,
    details: Details,
    schedule: Schedule | str | None,
    prediction_type: str | None,
) -> tuple[dict[str, Tensor], Sizes, Path | None]:
    """The weights, the sizes, and the configuration that says what shapes do not; None where there
    is none. Raises as `prior_of` does.
    """
    tensors = without_prefix(weights_only.named(path, content))
    config = _config(path, details, schedule, prediction_type) or _beside(path)
    sizes = genie_configuration.of_shapes(path, tensors)
    if config is not None:
        sizes = genie_configuration.settled(path, sizes, config)
    _empty(path, tensors, sizes)
    return tensors, sizes, None if config is None else config.path


def _built(
    path: Path, tensors: dict[str, Tensor], config: Configuration | None, scale: float | None
) -> GeniePrior:
    if not all(mark in tensors for mark in _MARKS):
        shown = ", ".join(f"{name} {tuple(tensors[name].shape)}" for name in list(tensors)[:5])
        raise CheckpointError(
            f"{path}", given=f"{len(tensors)} tensors: {shown}", expected="the weights of Genie"
        )
    config = config or _beside(path)
    if config is None:
        raise InvalidInput(
            f"{path}",
            given="weights alone",
            expected="also maximumNumResidues, which the waves of its first layer depend on: not "
            "in the file, and not guessed",
            advice="put the file `configuration` that was published with it beside it, or name it: "
            "--details.config, or `configuration` in deft.priors.genie.load",
        )
    shapes = genie_configuration.of_shapes(path, tensors)
    sizes = genie_configuration.settled(path, shapes, config)
    network = _empty(path, tensors, sizes)
    finite(path, tensors)
    kinds = {value.dtype for value in tensors.values()}
    if len(kinds) != 1 or not next(iter(kinds)).is_floating_point:
        raise CheckpointError(
            f"{path}",
            given=f"weights of {', '.join(sorted(map(str, kinds)))}",
            expected="real numbers of one precision",
        )
    network.load_state_dict(tensors, assign=True)
    return GeniePrior(network, scale=scale, name=path.stem)


def _empty(path: Path, tensors: Mapping[str, Tensor], sizes: Sizes) -> GenieNetwork:
    """The network without memory, compared with the weights."""
    with torch.device("meta"):
        network = GenieNetwork(sizes)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_all(path, tensors, wanted, "Genie")
    return network


def _config(
    path: Path, details: Details, schedule: Schedule | str | None, prediction_type: str | None
) -> Configuration | None:
    """The configuration that the user names, or that a card holds. Raises `InvalidInput` for what
    it says itself.
    """
    options = {f"details.{name}": value for name, value in details.said().items()}
    options |= {"schedule": schedule, "prediction_type": prediction_type}
    for name, value in options.items():
        if value is not None:
            raise InvalidInput(
                name,
                given=value,
                expected=f"nothing: {path} is a checkpoint of Genie, whose configuration says",
                advice=f"leave `{name}` out; --details.config names the configuration",
            )
    if details.config is not None:
        return genie_configuration.read(Path(details.config).expanduser())
    if details.content is not None:
        return genie_configuration.of_card(Path("details.config"), details.content)
    return None


def _beside(path: Path) -> Configuration | None:
    """The configuration that lies with a checkpoint."""
    file = genie_configuration.found(path)
    return None if file is None else genie_configuration.read(file)
