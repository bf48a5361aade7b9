"""`deft train` and `deft scaffold` with a checkpoint of Genie: the commands of the benchmark, for a
network that is small.
"""

import json

import genie_commands

from deft import cli
from deft.data.proteins import check_folder
from deft.networks.genie import Sizes
from deft.training import checkpoint

SMALL = Sizes(
    most=40,
    entries=100,
    single=16,
    pair=8,
    place=8,
    time=8,
    reach=4,
    pair_layers=1,
    multiplied=4,
    pair_factor=1,
    structure_layers=1,
    heads=2,
    head=4,
    query_points=2,
    value_points=2,
)


def test_an_h_of_genie_is_trained_and_designs(tmp_path, capsys):
    genie_commands.files(tmp_path, SMALL)
    for name, line in genie_commands.commands(tmp_path, length=36).items():
        assert cli.main(line) == 0, f"{name}: {capsys.readouterr().err}"
    card = checkpoint.read_card(tmp_path / "run" / "h.safetensors")
    assert card["prior"]["event_shape"] == [40, 3]
    found = json.loads((tmp_path / "designs" / "designs.json").read_text())["designs"]
    assert [one["residues"] for one in found] == [36, 36]
    assert len(list((tmp_path / "bench").rglob("*.pdb"))) == 2
    (fault,) = check_folder(tmp_path / "bench")
    assert "asks for 100" in str(fault)
