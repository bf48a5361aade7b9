from pathlib import Path

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.networks.genie import GenieNetwork, Sizes
from deft.priors import genie, genie_configuration
from tests.priors.test_genie import CONFIGURATION, checkpoint

LINES = dict(line.split() for line in CONFIGURATION.splitlines())


@pytest.mark.parametrize("key", [key for key in LINES if key not in ("maximumNumResidues",)])
def test_a_key_that_disagrees_is_named(tmp_path, key):
    """Every size of the configuration: another number, and no such line at all."""
    other = {**LINES, key: str(int(LINES[key]) + 1)}
    path = checkpoint(tmp_path, configuration="\n".join(f"{k} {v}" for k, v in other.items()))
    with pytest.raises(CheckpointError) as caught:
        genie.load(path)
    assert caught.value.what.startswith(str(tmp_path / "configuration"))
    assert key in caught.value.what
    assert str(int(LINES[key]) + 1) in str(caught.value.given)
    less = {k: v for k, v in LINES.items() if k != key}
    checkpoint(tmp_path, configuration="\n".join(f"{k} {v}" for k, v in less.items()))
    with pytest.raises(CheckpointError) as caught:
        genie.load(path)
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("line", "key", "given"),
    [
        ("includeTriangularAttention True", "includeTriangularAttention", "True"),
        ("includeTriangularAttention yes", "includeTriangularAttention", "yes"),
        (
            "includeTriangularMultiplicativeUpdate False",
            "includeTriangularMultiplicativeUpdate",
            "False",
        ),
        ("schedule linear", "schedule", "linear"),
        ("templateType v2", "templateType", "v2"),
        ("numStructureBlocks 0", "numStructureBlocks", "0"),
        ("numTimesteps 1e3", "numTimesteps", "1e3"),
        ("numTimesteps 1", "numTimesteps", "1"),
        ("maximumNumResidues", "maximumNumResidues", "maximumNumResidues"),
        ("maximumNumResidues 64", "maximumNumResidues", "maximumNumResidues 64"),  # and 32
        ("pairTransitionN -2", "pairTransitionN", "pairTransitionN -2"),
    ],
)
def test_a_line_that_is_refused(tmp_path, line, key, given):
    path = checkpoint(tmp_path, configuration=f"{CONFIGURATION}\n{line}")
    with pytest.raises(CheckpointError) as caught:
        genie.load(path)
    assert caught.value.what == f"{tmp_path / 'configuration'}: {key}"
    assert caught.value.given == given


def test_a_key_that_is_nearly_one(tmp_path):
    path = checkpoint(tmp_path, configuration=f"{CONFIGURATION}\nnumStructureBlock 2")
    with pytest.raises(CheckpointError, match="expected numStructureBlocks"):
        genie.load(path)


def test_keys_of_the_training_are_left_alone(tmp_path):
    more = "name scope\nnumEpoches 10000\nbatchSize 4\ndatasetClasses a,b\nlearningRate 1e-4\n\n"
    assert genie.load(checkpoint(tmp_path, configuration=more + CONFIGURATION)).max_length == 32


@pytest.mark.parametrize(
    ("content", "given"),
    [
        (b"", "no line `maximumNumResidues` among 0"),
        (b"ipaNumHeads 3", "no line `maximumNumResidues` among 1"),
        (b"\x89PNG\r\n\x1a\n", "a binary file"),
        (b"maximumNumResidues 32\0", "a binary file"),
        (b"# 1\n" * 20_000, "a long file"),
    ],
)
def test_what_is_no_configuration(tmp_path, content, given):
    path = checkpoint(tmp_path)
    (tmp_path / "configuration").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        genie.load(path)
    assert caught.value.given == given


def test_one_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidInput, match="that exists"):
        genie_configuration.read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="cannot be read"):
        genie_configuration.read(tmp_path)


def test_shapes_say_the_sizes_of_a_network_without_triangles():
    sizes = Sizes(single=8, pair=6, place=4, time=4, multiplied=0, heads=2, transitions=3)
    with torch.device("meta"):
        weights = GenieNetwork(sizes).state_dict()
    assert genie_configuration.of_shapes(Path("w.ckpt"), weights) == sizes
