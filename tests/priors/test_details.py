import pytest

from deft.errors import InvalidInput
from deft.priors.details import Details


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"image_size": 0}, "image_size"),
        ({"num_heads": 5000}, "num_heads"),
        ({"num_heads": 2, "num_head_channels": 32}, "one of the two"),
        ({"value_range": (1.0, -1.0)}, "value_range"),
        ({"diffusion_steps": 1}, "diffusion_steps"),
    ],
)
def test_what_no_network_has_is_refused(wrong, match):
    with pytest.raises(InvalidInput, match=match):
        Details(**wrong)


def test_what_a_card_holds(tmp_path):
    """The content of the file that it names, and not its place."""
    (tmp_path / "x.json").write_text('{"num_heads": 2}')
    said = Details(config=str(tmp_path / "x.json"), image_size=8, value_range=(0, 1))
    card = said.card()
    assert card == {"image_size": 8, "value_range": [0, 1], "config": {"num_heads": 2}}
    (tmp_path / "x.json").unlink()
    again = Details.of_card(card)
    assert again.card() == card
    assert again.value_range == (0, 1)
    file, content = again.beside(tmp_path / "w.pt")
    assert (file.name, content) == ("w.config.json", {"num_heads": 2})
    assert Details().beside(tmp_path / "w.pt") is None
    with pytest.raises(InvalidInput, match="num_heads"):
        Details.of_card({"num_heads": 0})


def test_what_it_says():
    assert Details(config="x.json", num_heads=4).said() == {"num_heads": 4}


def test_a_card_holds_the_configuration_of_genie(tmp_path):
    """The lines of the network, none of folders; what is no configuration is refused as before."""
    text = "maximumNumResidues 128\nnumTimesteps  500\nrootDirectory /home/somebody/runs\n"
    (tmp_path / "configuration").write_text(text)
    card = Details(config=str(tmp_path / "configuration")).card()
    assert card == {"config": {"maximumNumResidues": "128", "numTimesteps": "500"}}
    assert Details.of_card(card).card() == card
    (tmp_path / "notes").write_text("what residues are\n")
    with pytest.raises(InvalidInput, match="no JSON"):
        Details(config=str(tmp_path / "notes")).card()
    with pytest.raises(InvalidInput, match=r"details\.config"):
        Details(config=str(tmp_path / "absent")).card()
