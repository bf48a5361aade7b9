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


def test_what_it_says():
    assert Details(config="x.json", num_heads=4).said() == {"num_heads": 4}
