import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import Identity
from deft.problems import Fixed, Inpainting, MaskFiles, Masks, SuperResolution, from_card
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
    allow = ("tests.problems",)

    def make(self):
        return Inpainting(OwnMasks(2), sigma_y=0.05)


class TestCards:
    def test_the_card_of_nested_parts(self):
        assert Inpainting("box", sigma_y=0.05).card() == {
            "class": "Inpainting",
            "args": {
                "masks": {"class": "BoxMasks", "args": {"fraction": 0.5, "centred": True}},
                "sigma_y": 0.05,
            },
        }

    def test_shorthand(self):
        assert (
            from_card({"class": "Inpainting", "args": {"masks": "box"}}).card()
            == Inpainting("box").card()
        )
        assert from_card({"class": "SuperResolution"}).card() == SuperResolution().card()

    @pytest.mark.filterwarnings("error")
    def test_the_dotted_paths_of_version_0_1_are_read_with_a_note(self):
        for problems in ("deft.problems", "deft.problems.linear"):
            for masks in ("deft.operators", "deft.operators.masks"):
                parts = {"class_path": f"{masks}.BoxMasks", "init_args": {"fraction": 0.25}}
                with pytest.warns(UserWarning, match=r"dotted paths of version 0\.1"):
                    found = from_card(
                        {"class_path": f"{problems}.Inpainting", "init_args": {"masks": parts}}
                    )
                assert found.masks.fraction == 0.25

    @pytest.mark.parametrize(
        ("card", "given", "expected", "advice"),
        [
            ({"class": "Inpaintng"}, "Inpaintng", "a problem", "Inpainting"),
            (
                {"class": "deft.problem.Inpainting"},
                "deft.problem.Inpainting",
                "a class of this library",
                "Inpainting",
            ),
            (
                {"class": "deft.problems.Problem"},
                "deft.problems.Problem",
                "a class of this library",
                "",
            ),
            (
                {"class": "Inpainting", "args": {"masks": {"class": "BoxMask"}}},
                "BoxMask",
                "a masks",
                "BoxMasks",
            ),
            ({"class": "Inpainting", "args": {"mask": "box"}}, "mask", "masks, sigma_y", "masks"),
            (
                {"class": "Inpainting", "args": {"masks": {"class": "Inpainting"}}},
                "Inpainting",
                "a masks",
                "",
            ),
            (
                {"class": "subprocess.Popen", "args": {"args": "true"}},
                "subprocess.Popen",
                "a module that you name",
                "allow='subprocess'",
            ),
            (
                {"class": "Inpainting", "args": {"masks": {"class": "pathlib.Path"}}},
                "pathlib.Path",
                "a module that you name",
                "allow='pathlib'",
            ),
            (
                {"class": "Deepinv", "args": {"physics": "http.server.test"}},
                "http.server.test",
                "deepinv",
                "allow='deepinv'",
            ),
            (
                {"class": "BlackBox", "args": {"function": "code.interact"}},
                "code.interact",
                "a module that you name",
                "allow='code'",
            ),
            ({"class": "Inpainting", "args": ["box"]}, ["box"], "an object", ""),
            ({"classes": "Inpainting"}, {"classes": "Inpainting"}, "an object", ""),
            ({"class": "Inpainting", "args": {"sigma_y": 10**400}}, 10**400, "a number", ""),
            ({"class": "Inpainting", "args": {"sigma_y": "0.05"}}, "0.05", "a number", ""),
            ({"class": "Inpainting", "args": {"sigma_y": True}}, True, "a number", ""),
            ({"class": "SuperResolution", "args": {"factor": 2.5}}, 2.5, "a whole number", ""),
            ({"class": "SuperResolution", "args": {"factor": 10**9}}, 10**9, "a whole number", ""),
            ({"class": "Tomography", "args": {"views": -1}}, -1, "a whole number", ""),
        ],
    )
    def test_what_is_refused_says_what_was_expected(self, card, given, expected, advice):
        with pytest.raises(InvalidInput) as raised:
            from_card(card)
        assert raised.value.given == given
        assert expected in raised.value.expected
        assert advice in raised.value.advice

    def test_what_an_allowed_class_needs(self):
        card = {
            "class": "Inpainting",
            "args": {"masks": {"class": "tests.problems.test_cards.OwnMasks"}},
        }
        with pytest.raises(InvalidInput, match="needs every"):
            from_card(card, allow="tests")
        with pytest.raises(InvalidInput) as raised:
            from_card(card, allow="test")  # a prefix of a name is no module
        assert "allow='tests'" in raised.value.advice
        card["args"]["masks"]["class"] = "tests.problems.test_cards.Inpainting"
        with pytest.raises(InvalidInput, match="expected a masks"):
            from_card(card, allow="tests")

    def test_a_users_operator_cannot_be_rebuilt(self):
        with pytest.raises(InvalidInput) as raised:
            from_card(Fixed(Identity()).card())
        assert "deft.problems.Fixed" in raised.value.advice

    def test_mask_files_are_read_where_their_folder_is_named(self, tmp_path):
        from PIL import Image

        Image.new("L", (8, 8), 255).save(tmp_path / "a.png")
        card = Inpainting(MaskFiles(str(tmp_path))).card()
        with pytest.raises(InvalidInput) as raised:
            from_card(card)
        assert raised.value.given == str(tmp_path)
        assert from_card(card, allow=[str(tmp_path)]).card() == card
