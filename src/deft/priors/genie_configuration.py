"""The text file `configuration` beside weights of Genie, compared with their shapes.

    maximumNumResidues 128
    numPairTransformLayers 5
    includeTriangularAttention False

One key and its value on a line; a key that is not there has the value of Genie's own table. Shapes
say most sizes again: where they disagree the key is named. Said here alone: `maximumNumResidues`,
the length that every chain is padded to, `numTimesteps`, `schedule`, `numStructureBlocks` (the
layers run as often, with the same weights), and how much of the first layer reads the place of a
residue (`positionalEmbeddingDimension`) and how much the time.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import final

from torch import Tensor

from deft.errors import CheckpointError, InvalidInput
from deft.networks.genie import Sizes

NAME = "configuration"
_MOST_BYTES = 1 << 16
_SIZES = {
    "singleFeatureDimension": "single",
    "pairFeatureDimension": "pair",
    "relativePositionK": "reach",
    "numPairTransformLayers": "pair_layers",
    "triangularMultiplicativeHiddenDimension": "multiplied",
    "triangularAttentionHiddenDimension": "attended",
    "triangularAttentionNumHeads": "attending",
    "pairTransitionN": "pair_factor",
    "numStructureLayers": "structure_layers",
    "ipaHiddenDimension": "head",
    "ipaNumHeads": "heads",
    "ipaNumQkPoints": "query_points",
    "ipaNumVPoints": "value_points",
    "numStructureTransitionLayers": "transitions",
}
_MULTIPLIED, _ATTENDED = "includeTriangularMultiplicativeUpdate", "includeTriangularAttention"
_PLACE, _TIME = "positionalEmbeddingDimension", "timestepEmbeddingDimension"
_DEFAULTS: dict[str, str] = {
    **{key: str(getattr(Sizes(), name)) for key, name in _SIZES.items()},
    "triangularAttentionNumHeads": "4",
    _PLACE: "128",
    _TIME: "128",
    _MULTIPLIED: "True",
    _ATTENDED: "False",
    "numTimesteps": "1000",
    "numStructureBlocks": "1",
    "schedule": "cosine",
    "templateType": "v1",
}
_KNOWN = ("maximumNumResidues", *_DEFAULTS)
_TRUTH = {"True": True, "False": False}


@final
class Configuration:
    """What a file says, by key, with what Genie takes where it says nothing."""

    def __init__(self, path: Path, said: Mapping[str, str]) -> None:
        self.path, self.said = path, said

    def text(self, key: str) -> str:
        return self.said.get(key, _DEFAULTS[key])

    def number(self, key: str, least: int = 1) -> int:
        """A whole number. Raises `CheckpointError` for anything else."""
        found = self.text(key) if key in _DEFAULTS else self.said[key]
        if not re.fullmatch(r"\d{1,6}", found) or int(found) < least:
            raise self.wrong(key, found, f"a whole number >= {least}")
        return int(found)

    def truth(self, key: str) -> bool:
        """True or False. Raises `CheckpointError` for anything else."""
        if self.text(key) not in _TRUTH:
            raise self.wrong(key, self.text(key), "True or False")
        return _TRUTH[self.text(key)]

    def wrong(self, key: str, given: object, expected: str, advice: str = "") -> CheckpointError:
        return CheckpointError(f"{self.path}: {key}", given=given, expected=expected, advice=advice)

    def disagrees(self, checkpoint: Path, key: str, here: object, there: object) -> CheckpointError:
        """The error where a key says another network than the weights."""
        given = f"{here}" if key in self.said else f"no such line, which means {here}"
        return self.wrong(
            key, given, f"{there}, as the weights of {checkpoint} say", "give the one that it has"
        )


def found(checkpoint: Path) -> Path | None:
    """The configuration that lies with a checkpoint: `NAME.configuration` or `configuration` beside
    it, or two folders up where it lies in `version_N/checkpoints`; None where there is none.
    """
    places = [checkpoint.with_suffix(f".{NAME}"), checkpoint.with_name(NAME)]
    if checkpoint.parent.name == "checkpoints":
        places.append(checkpoint.absolute().parents[2] / NAME)
    return next((place for place in places if place.is_file()), None)


def read(path: Path) -> Configuration:
    """What a configuration says. Raises `InvalidInput` where it does not exist, and
    `CheckpointError` for a file that is none, a key twice, or one that is nearly a known one.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except FileNotFoundError as error:
        raise InvalidInput(
            "details.config", given=str(path), expected="a configuration of Genie that exists"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise _none(path, "a binary file") from error
    if len(content) > _MOST_BYTES or "\0" in text:
        raise _none(path, f"{'a long' if len(content) > _MOST_BYTES else 'a binary'} file")
    return _parsed(path, text)


def of_card(path: Path, content: Mapping[str, object]) -> Configuration:
    """What the content of a configuration says, out of a card; `path` is where it is said. Raises
    as `read`.
    """
    return _parsed(path, "\n".join(f"{key} {value}" for key, value in content.items()))


def content(path: Path) -> dict[str, str] | None:
    """What a card holds of the file at `path`: the lines that say what the network is, and none
    that name folders or data; None where it is no configuration of Genie. Raises as `read`.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return None
    if not any(line.split()[:1] == [b"maximumNumResidues"] for line in lines):
        return None
    return {key: value for key, value in read(path).said.items() if key in _KNOWN}


def _parsed(path: Path, text: str) -> Configuration:
    said: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        key = words[0]
        near = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.9)
        if near and near[0] != key:
            raise CheckpointError(f"{path}", given=key, expected=f"{near[0]}, if that is meant")
        if key in _KNOWN and (len(words) != 2 or said.get(key, words[1]) != words[1]):
            raise CheckpointError(
                f"{path}: {key}", given=line.strip(), expected="one value, on one line"
            )
        said[key] = " ".join(words[1:])
    if "maximumNumResidues" not in said:
        raise _none(path, f"no line `maximumNumResidues` among {len(said)}")
    return Configuration(path, said)


def settled(checkpoint: Path, sizes: Sizes, configuration: Configuration) -> Sizes:
    """The sizes that shapes say, with those that the configuration alone says. Raises
    `CheckpointError`, with the key, where the two disagree, or for what is not known.
    """
    said = configuration
    for key, known in (("schedule", "cosine"), ("templateType", "v1")):
        if said.text(key) != known:
            raise said.wrong(key, said.text(key), f"{known}, which is what is read")
    for key, there in ((_MULTIPLIED, sizes.multiplied > 0), (_ATTENDED, sizes.attending > 0)):
        if said.truth(key) != there:
            raise said.disagrees(checkpoint, key, said.truth(key), there)
    left_out = [] if sizes.multiplied else ["multiplied"]
    left_out += [] if sizes.attending else ["attending", "attended"]
    for key, name in _SIZES.items():
        least = 0 if name in ("reach", "pair_layers") else 1
        if name not in left_out and said.number(key, least) != getattr(sizes, name):
            raise said.disagrees(checkpoint, key, said.number(key, least), getattr(sizes, name))
    place, time, both = said.number(_PLACE), said.number(_TIME), sizes.place + sizes.time
    if place + time != both:
        raise said.wrong(
            f"{_PLACE}, {_TIME}",
            f"{place} and {time}",
            f"a sum of {both}, as the weights of {checkpoint} say",
        )
    return replace(
        sizes,
        most=said.number("maximumNumResidues", 3),
        entries=said.number("numTimesteps", 2),
        blocks=said.number("numStructureBlocks"),
        place=place,
        time=time,
    )


def of_shapes(checkpoint: Path, tensors: Mapping[str, Tensor]) -> Sizes:
    """The sizes that the shapes of weights say. Raises `CheckpointError` where the weights that say
    them are missing, or say no whole number.
    """

    def shape(name: str, axes: int) -> tuple[int, ...]:
        if name not in tensors or tensors[name].ndim != axes:
            given = tuple(tensors[name].shape) if name in tensors else "no such weights"
            raise CheckpointError(
                f"{checkpoint}: {name}", given=given, expected=f"a tensor of {axes} axes"
            )
        return tuple(tensors[name].shape)

    def count(name: str, least: int = 0) -> int:
        there = {m[1] for key in tensors if (m := re.match(rf"{re.escape(name)}\.(\d+)\.", key))}
        return max(len(there), least)

    def divided(name: str, by: int) -> int:
        rows = shape(name, 2)[0]
        if not by or not rows or rows % by:
            given = tuple(tensors[name].shape)
            expected = f"a multiple of {by} rows, {by} for each"
            raise CheckpointError(f"{checkpoint}: {name}", given=given, expected=expected)
        return rows // by

    single, told = shape("single_feature_net.linear.weight", 2)
    pair, along = shape("pair_feature_net.linear_relpos.weight", 2)
    first, layer = "pair_transform_net.net.0", "structure_net.net.0"
    layers = count("pair_transform_net.net")
    sizes: dict[str, int] = {"multiplied": 0}
    if f"{first}.tri_mul_out.linear_a_p.weight" in tensors:
        sizes["multiplied"] = shape(f"{first}.tri_mul_out.linear_a_p.weight", 2)[0]
    if f"{first}.tri_att_start.linear.weight" in tensors:
        sizes["attending"] = shape(f"{first}.tri_att_start.linear.weight", 2)[0]
        sizes["attended"] = divided(
            f"{first}.tri_att_start.mha.linear_q.weight", sizes["attending"]
        )
    if layers:
        sizes["pair_factor"] = divided(f"{first}.pair_transition.linear_1.weight", pair)
    heads = shape(f"{layer}.ipa.head_weights", 1)[0]
    queries = divided(f"{layer}.ipa.linear_q_points.weight", 3 * heads)
    sizes |= {
        "single": single,
        "pair": pair,
        "place": (told + 1) // 2,
        "time": told // 2,
        "reach": (along - 1) // 2,
        "pair_layers": layers,
        "structure_layers": count("structure_net.net", 1),
        "heads": heads,
        "head": divided(f"{layer}.ipa.linear_q.weight", heads),
        "query_points": queries,
        "value_points": divided(f"{layer}.ipa.linear_kv_points.weight", 3 * heads) - queries,
        "transitions": count(f"{layer}.transition.layers", 1),
    }
    try:
        return Sizes(**sizes)
    except InvalidInput as error:
        raise CheckpointError(
            f"{checkpoint}: {error.what}", given=error.given, expected=error.expected
        ) from error


def _none(path: Path, given: str) -> CheckpointError:
    return CheckpointError(
        f"{path}",
        given=given,
        expected="a configuration of Genie: lines of a key and a value, maximumNumResidues among "
        "them",
    )
