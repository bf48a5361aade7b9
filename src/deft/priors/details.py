"""What a file of weights does not say of its network, and where it is said instead.

In this order: what the user says, a `NAME.config.json` beside `NAME.pt` (the flags or the
constructor's arguments of guided-diffusion), a table of published checkpoints. What none of them
says is named in one error; nothing is guessed, for a wrong number of heads or a wrong order of
q, k and v loads in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from torch import Tensor

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.errors import shown as quoted
from deft.priors import genie_configuration
from deft.storage.bounded_json import parsed

AttentionOrder = Literal["legacy", "new"]


@final
@dataclass(frozen=True)
class Details:
    """What the user says of a network whose file holds weights alone.

    `num_heads` per attention layer, or `num_head_channels`, the channels of one head;
    `attention_order`: "legacy" where q, k and v are interleaved by head, "new" where they are three
    blocks; `image_size` in pixels; `value_range` of the values that it was trained on;
    `diffusion_steps`, the entries of its noise schedule, and `rescale_timesteps`, whether it is
    told k 1000 / `diffusion_steps` in place of entry k; `config`, a file that says such things,
    in place of the one beside the weights (JSON, or Genie's `configuration`), whose `content` is
    kept where it came out of a card. Raises `InvalidInput` for sizes that no network has.
    """

    config: str | None = None
    image_size: int | None = None
    num_heads: int | None = None
    num_head_channels: int | None = None
    attention_order: AttentionOrder | None = None
    value_range: tuple[float, float] | None = None
    diffusion_steps: int | None = None
    rescale_timesteps: bool | None = None
    content: Mapping[str, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least, most, meaning in (
            ("image_size", 1, 16_384, "the height and width of its images"),
            ("num_heads", 1, 4096, "the heads of an attention layer"),
            ("num_head_channels", 1, 4096, "the channels of one head"),
            ("diffusion_steps", 2, 100_000, "the entries of its noise schedule"),
        ):
            value = getattr(self, name)
            if value is not None:
                checks.whole(f"details.{name}", value, least, most, meaning)
        if self.attention_order is not None:
            checks.name("details.attention_order", self.attention_order, ["legacy", "new"])
        if self.value_range is not None:
            checks.finite_range("details.value_range", self.value_range, "the values of signals")
        if self.num_heads is not None and self.num_head_channels is not None:
            raise InvalidInput(
                "details.num_heads",
                given=f"{self.num_heads}, and num_head_channels {self.num_head_channels}",
                expected="one of the two: each follows from the other",
            )

    def said(self) -> dict[str, Any]:
        """What it says, by name."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and name not in ("config", "content")
        }

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Details:
        """From what `card` returned, out of a file. Raises `InvalidInput` as the constructor."""
        said = {name: value for name, value in card.items() if name != "config"}
        if said.get("value_range") is not None:
            said["value_range"] = tuple(said["value_range"])
        made = cls(**said)
        object.__setattr__(made, "content", card.get("config"))
        return made

    def card(self) -> dict[str, Any]:
        """What it says, and the content of the file that it names (JSON, or the lines of Genie's
        `configuration`): what a card may hold. Raises as `beside`.
        """
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in self.said().items()}
        content = self.content
        if self.config is not None:
            path = Path(self.config).expanduser()
            content = genie_configuration.content(path)
            if content is None:
                found = beside(path, self.config)
                content = None if found is None else found[1]
        return said if content is None else {**said, "config": dict(content)}

    def beside(self, path: Path) -> tuple[Path, Mapping[str, Any]] | None:
        """The configuration of the weights at `path`, and the file that says it."""
        if self.content is not None:
            return path.with_suffix(".config.json"), self.content
        return beside(path, self.config)


def beside(path: Path, config: str | Path | None) -> tuple[Path, dict[str, Any]] | None:
    """The configuration of a file of weights: the one named, or `NAME.config.json` beside
    `NAME.pt`; None where there is none.

    Raises `InvalidInput` for a named one that does not exist, and `CheckpointError` for one that
    is no JSON object.
    """
    file = path.with_suffix(".config.json") if config is None else Path(config).expanduser()
    try:
        content = parsed(file.read_bytes(), str(file))
    except FileNotFoundError as error:
        if config is None:
            return None
        raise InvalidInput(
            "details.config", given=str(config), expected="a JSON file that exists"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror or error}).") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}", given=content, expected="a JSON object")
    return file, content


def missing(path: Path, needed: Mapping[str, str], facts: Mapping[str, object]) -> None:
    """Raise `InvalidInput` where something of `needed` (name: how it is given) is not in `facts`,
    with all of them.
    """
    lacking = [name for name in needed if facts.get(name) is None]
    if lacking:
        how = ", ".join(needed[name] for name in lacking)
        raise InvalidInput(
            f"{path}",
            given="weights alone",
            expected=f"also {', '.join(lacking)}: not in the file, and not guessed",
            advice=f"give {how}; or a {path.with_suffix('.config.json').name} beside the file",
        )


def listed(names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """How many tensors, and the names of the first five, with their shapes where they are known."""
    shown = ", ".join(f"{quoted(name)} {shapes.get(name, '')}".rstrip() for name in names[:5])
    return f"{len(names)}: {shown}{', ...' if len(names) > 5 else ''}"


def check_all(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, tuple[int, ...]],
    network: str = "a U-Net of guided-diffusion",
) -> None:
    """Raise `CheckpointError` where weights are missing, more, or of another shape; the first five
    of each, with their shapes.
    """
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    lacking = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    other = [name for name in wanted if name in found and found[name] != wanted[name]]
    said = [
        f"{what} {listed(names, shapes)}"
        for what, names, shapes in (
            ("missing", lacking, wanted),
            ("not of this network", extra, found),
            ("of another shape", other, found),
        )
        if names
    ]
    if said:
        raise CheckpointError(
            f"{path} does not hold the weights of {network}, all of them and no others: "
            f"{'; '.join(said)}",
            advice="" if not other else f"{other[0]} should be {wanted[other[0]]}",
        )
