import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import Identity, MaskFiles, Masks
from deft.problems import Fixed, Inpainting, SuperResolution, from_card
from tests.contracts.problem import ProblemContract


class OwnMasks(Masks):
    """A user's own distribution, named by its dotted path."""

    def __init__(self, every: int) -> None:
        self.every = every

    def draw(self, like, noise):
        mask = torch.zeros(len(like), 1, *like.shape[2:])
        mask[..., :: self.every] = 1
        return mask.to(like)

    def init_args(self):
        return {"every": self.every}


class TestOwnMasks(ProblemContract):
    def make(self):
        return Inpainting(OwnMasks(2), sigma_y=0.05)


class TestCards:
    def test_the_card_of_nested_parts(self, tmp_path):
        assert Inpainting("box", sigma_y=0.05).card() == {
            "class_path": "deft.problems.Inpainting",
            "init_args": {
                "masks": {"class_path": "deft.operators.masks.BoxMasks", "init_args": {"fraction": 0.5, "centred": True}},
                "sigma_y": 0.05,
            },
        }

    def test_shorthand(self):
        assert from_card({"class_path": "deft.problems.Inpainting", "init_args": {"masks": "box"}}).card() == Inpainting("box").card()
        assert from_card({"class_path": "deft.problems.SuperResolution"}).card() == SuperResolution().card()
        parts = {"class_path": "deft.operators.BoxMasks", "init_args": {"fraction": 0.25}}
        assert from_card({"class_path": "deft.problems.Inpainting", "init_args": {"masks": parts}}).masks.fraction == 0.25

    def test_unknown_classes(self):
        with pytest.raises(InvalidInput, match="did you mean Inpainting"):
            from_card({"class_path": "deft.problems.Inpaintng"})
        with pytest.raises(InvalidInput, match=r"dotted path of a Problem.*did you mean SuperResolution"):
            from_card({"class_path": "SuperResolution"})
        with pytest.raises(InvalidInput, match=r"cannot be imported.*did you mean deft\.problems"):
            from_card({"class_path": "deft.problem.Inpainting"})
        with pytest.raises(InvalidInput, match="did you mean BoxMasks"):
            from_card({"class_path": "deft.problems.Inpainting", "init_args": {"masks": {"class_path": "deft.operators.masks.BoxMask"}}})

    def test_unknown_arguments(self):
        with pytest.raises(InvalidInput, match=r"unknown argument.*'mask'; known: masks, sigma_y; did you mean masks"):
            from_card({"class_path": "deft.problems.Inpainting", "init_args": {"mask": "box"}})
        with pytest.raises(InvalidInput, match="needs every"):
            from_card(
                {"class_path": "deft.problems.Inpainting", "init_args": {"masks": {"class_path": "tests.problems.test_cards.OwnMasks"}}}
            )

    def test_malformed_cards(self):
        with pytest.raises(InvalidInput, match="'class_path' and its 'init_args'"):
            from_card({"class": "deft.problems.Inpainting"})
        with pytest.raises(InvalidInput, match="'class_path' and its 'init_args'"):
            from_card({"class_path": "deft.problems.Inpainting", "init_args": ["box"]})

    def test_nothing_else_is_called(self):
        """A card comes out of a file; it constructs problems and their parts only."""
        with pytest.raises(InvalidInput, match="not the dotted path of a Problem"):
            from_card({"class_path": "subprocess.Popen", "init_args": {"args": "true"}})
        with pytest.raises(InvalidInput, match="not the dotted path of a Masks or Kernels or ForwardOperator"):
            from_card({"class_path": "deft.problems.Inpainting", "init_args": {"masks": {"class_path": "pathlib.Path"}}})
        with pytest.raises(InvalidInput, match="not the dotted path of a Problem"):
            from_card({"class_path": "deft.problems.Problem"})

    def test_a_users_operator_cannot_be_rebuilt(self):
        with pytest.raises(InvalidInput, match="cannot rebuild a user's own operator"):
            from_card(Fixed(Identity()).card())

    def test_mask_files(self, tmp_path):
        from PIL import Image

        Image.new("L", (8, 8), 255).save(tmp_path / "a.png")
        card = Inpainting(MaskFiles(str(tmp_path))).card()
        assert from_card(card).card() == card
