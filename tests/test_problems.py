import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import (
    Blur,
    BoxMasks,
    FreeFormMasks,
    GaussianKernels,
    Identity,
    InUnits,
    MaskFiles,
    Masks,
    MotionKernels,
    RandomPixelMasks,
)
from deft.operators import Inpainting as InpaintingOperator
from deft.operators import SuperResolution as SuperResolutionOperator
from deft.problems import (
    MRI,
    BlackBox,
    Deblurring,
    Denoising,
    Fixed,
    HighDynamicRange,
    Inpainting,
    NonlinearBlur,
    PhaseRetrieval,
    PoissonPhaseRetrieval,
    Problem,
    SuperResolution,
    Tomography,
    from_card,
)
from tests.contracts.problem import ProblemContract


class TestDenoising(ProblemContract):
    def make(self):
        return Denoising(sigma_y=0.2)


class TestFreeForm(ProblemContract):
    def make(self):
        return Inpainting(sigma_y=0.05)


class TestBox(ProblemContract):
    def make(self):
        return Inpainting(BoxMasks(0.4, centred=False), sigma_y=(0.01, 0.5))


class TestRandomPixels(ProblemContract):
    def make(self):
        return Inpainting("random", sigma_y=0.05)


class TestHalf(ProblemContract):
    def make(self):
        return Inpainting("half", sigma_y=0.05)


class TestAverage(ProblemContract):
    def make(self):
        return SuperResolution(4, sigma_y=(0.05, 0.1))


class TestBicubic(ProblemContract):
    def make(self):
        return SuperResolution(2, kernel="bicubic", sigma_y=0.05)


class TestGaussianBlur(ProblemContract):
    def make(self):
        return Deblurring(GaussianKernels(5, (0.5, 1.5)), sigma_y=0.05)


class TestGaussianBlurReflected(ProblemContract):
    tolerance = 1e-3  # conjugate gradients

    def make(self):
        return Deblurring("gaussian", border="reflect", sigma_y=0.05)


class TestMotionBlur(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 12, 20))

    def make(self):
        return Deblurring(MotionKernels(7), sigma_y=0.05)


class TestHighDynamicRange(ProblemContract):
    def make(self):
        return HighDynamicRange(3.0, (0.0, 1.0), sigma_y=0.05)


class TestPoissonPhaseRetrieval(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 6, 10))

    def make(self):
        return PoissonPhaseRetrieval((500.0, 2000.0), iterations=10, restarts=2)

    def test_counts_have_the_law_that_they_should(self):
        x_0 = torch.rand(200, 1, 2, 2)[:1].repeat(200, 1, 1, 1)
        observation = PoissonPhaseRetrieval(400.0, (0.0, 1.0)).draw(x_0, Noise(range(200)))
        counts, rate = 400 * observation.y**2, 400 * observation.operator(x_0[:1]) ** 2
        torch.testing.assert_close(counts, counts.round(), atol=1e-2, rtol=0)
        assert ((counts.mean(0) - rate[0]).abs() < 5 * (rate[0] / 200).sqrt() + 0.05).all()
        assert observation.sigma_y.tolist() == pytest.approx([0.025] * 200)

    def test_errors(self):
        for photons in (0.0, (20.0, 10.0)):
            with pytest.raises(InvalidInput, match="photons is how many a white pixel contributes"):
                PoissonPhaseRetrieval(photons)


class TestNonlinearBlur(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 12, 20))
    tolerance = 1e-3  # conjugate gradients

    def make(self):
        return NonlinearBlur(MotionKernels(5), exposure=1.5, sigma_y=0.05)


class TestPhaseRetrieval(ProblemContract):
    event_shapes = ((1, 8, 8), (3, 6, 10))

    def make(self):
        return PhaseRetrieval(0.1, iterations=10, restarts=2)

    def test_the_noise_is_relative(self):
        x_0 = torch.tensor([0.2, 1.0]).reshape(2, 1, 1, 1) * torch.rand(2, 1, 16, 16)
        clean = PhaseRetrieval(0.0, (0.0, 1.0)).draw(x_0, Noise([0, 1]))
        noisy = PhaseRetrieval(0.1, (0.0, 1.0)).draw(x_0, Noise([0, 1]))
        assert clean.sigma_y.tolist() == [0.0, 0.0]
        self.close(noisy.sigma_y, 0.1 * clean.y.square().mean((1, 2, 3)).sqrt())
        assert noisy.sigma_y.max() < PhaseRetrieval(0.1).sigma_y[1]
        ranged = PhaseRetrieval((0.01, 0.2), (0.0, 1.0))
        share = ranged.draw(x_0, Noise([0, 1])).sigma_y / clean.y.square().mean((1, 2, 3)).sqrt()
        assert 0.01 < share.min() < share.max() < 0.2
        assert from_card(ranged.card()).card() == ranged.card()
        with pytest.raises(InvalidInput, match=r"must be >= 0; got -0\.1"):
            PhaseRetrieval(-0.1)


class TestTomography(ProblemContract):
    event_shapes = ((1, 8, 8), (2, 12, 20))
    tolerance = 1e-3  # conjugate gradients; sums of hundreds of entries

    def make(self):
        return Tomography(views=6, sigma_y=(0.1, 0.5))


class TestScansOfItsOwn(TestTomography):
    def make(self):
        return Tomography(views=5, span=90.0, angles="turned", sigma_y=0.05, relative=True, field=1.0)


class TestRandomViewsOfAFan(TestTomography):
    def make(self):
        return Tomography(views=7, span=360.0, angles="random", sigma_y=0.05, field=10.0, fan=(20.0, 10.0))


class TestHounsfieldUnits(TestTomography):
    def make(self):
        return Tomography(views=6, window=(-1000.0, 1000.0), field=20.0, sigma_y=0.02, relative=True)


class TestPhotons(TestTomography):
    tolerance = 0.02  # of counts in the thousands, whose draws may differ by one where rates differ by rounding

    def make(self):
        return Tomography(views=6, window=(-1000.0, 400.0), field=10.0, photons=(2e3, 1e4))

    def close(self, a, b):
        torch.testing.assert_close(a, b, atol=1.0, rtol=0.02)


class TestTheScan:
    def test_a_limited_angle(self):
        operator = Tomography(views=3, span=90.0, start=-45.0).draw(torch.zeros(2, 1, 8, 8), Noise([0, 1])).operator
        torch.testing.assert_close(operator.angles, torch.tensor([[-45.0, -15.0, 15.0]]))

    def test_each_signal_has_views_of_its_own(self):
        x_0 = torch.zeros(3, 1, 8, 8)
        turned = Tomography(views=3, span=90.0, angles="turned").draw(x_0, Noise(range(3))).operator.angles
        torch.testing.assert_close(turned.diff(dim=1), torch.full((3, 2), 30.0))
        assert len(turned[:, 0].unique()) == 3
        drawn = Tomography(views=3, span=90.0, start=10.0, angles="random").draw(x_0, Noise(range(3))).operator.angles
        assert ((drawn >= 10) & (drawn < 100) & (drawn == drawn.round())).all()
        assert (drawn.diff(dim=1) > 0).all()

    def test_water_is_water(self):
        """0 HU over a field of 10 cm, along the columns: 10 cm times 0.2 / cm."""
        x_0 = torch.zeros(1, 1, 16, 16)
        problem = Tomography(views=1, window=(-500.0, 500.0), mu_water=0.2, field=10.0, detectors=16)
        torch.testing.assert_close(problem.draw(x_0, Noise([0])).y, torch.full((1, 1, 1, 16), 2.0))

    def test_measurements_from_elsewhere(self):
        """What a scan of the problem's own says is what one from a file says; |A x_0| is estimated by |y|."""
        x_0 = torch.rand(2, 1, 8, 8)
        for settings in ({"sigma_y": 0.5}, {"sigma_y": 0.035, "relative": True}, {"photons": 500.0, "field": 1.0}):
            problem = Tomography(views=4, **settings)
            drawn = problem.draw(x_0, Noise([0, 1]))
            given = problem.likelihood(problem.operator(x_0, Noise([5, 6])), drawn.y)
            assert type(given) is type(drawn.likelihood)
            torch.testing.assert_close(given.sigma_y.expand(2), drawn.sigma_y.expand(2), rtol=0.05, atol=0)
        relative = Tomography(views=4, sigma_y=0.035, relative=True)
        assert relative.likelihood(relative.operator(x_0, Noise([0, 1])), drawn.y, 0.3).sigma_y.tolist() == pytest.approx([0.3])
        with pytest.raises(InvalidInput, match=r"draws sigma_y between 0\.1 and 0\.2"):
            Denoising(sigma_y=(0.1, 0.2)).likelihood(Identity(), x_0)

    def test_noise_relative_to_the_sinogram(self):
        x_0 = torch.rand(2, 1, 8, 8) * torch.tensor([1.0, 100.0]).reshape(2, 1, 1, 1)
        observation = Tomography(views=4, sigma_y=0.035, relative=True).draw(x_0, Noise([0, 1]))
        torch.testing.assert_close(observation.sigma_y, 0.035 * observation.operator(x_0).abs().mean((1, 2, 3)))

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"angles": "randm"}, "did you mean random"),
            ({"angles": "random", "views": 200}, r"at most one per degree of the span; got 200 in 180"),
            ({"photons": 100.0, "sigma_y": 0.1}, "not both"),
            ({"photons": -1.0}, "photons"),
            ({"photons": (1e3, 1e2)}, "photons"),
            ({"window": (100.0, -100.0)}, "low < high"),
            ({"filter": "han"}, "did you mean hann"),
            ({"field": 0.0}, "field"),
        ],
    )
    def test_errors(self, settings, says):
        with pytest.raises(InvalidInput, match=says):
            Tomography(**settings)

    def test_a_volume(self):
        with pytest.raises(InvalidInput, match=r"tomography sees slices.*got the shape \(1, 1, 8, 8, 8\)"):
            Tomography().draw(torch.zeros(1, 1, 8, 8, 8), Noise([0]))


class TestMRI(ProblemContract):
    event_shapes = ((2, 8, 8), (2, 12, 20))

    def make(self):
        return MRI(sigma_y=(0.01, 0.1))


class TestMRIOfFrequenciesAtRandom(TestMRI):
    def make(self):
        return MRI(RandomPixelMasks(0.3), sigma_y=0.05)


def darkened(x, gain):
    return torch.tanh(gain * x)


def brightened(y, gain):
    return y / gain


def gains(x_0, noise):
    return 1 + noise.uniform(0, (1,) * (x_0.ndim - 1)).to(x_0)


def signs(x):
    return x.sign()


class TestBlackBox(ProblemContract):
    def make(self):
        path = "tests.test_problems."
        return BlackBox(path + "darkened", lift=path + "brightened", parameters=path + "gains", sigma_y=0.05)


class TestDifferentiableBlackBox(ProblemContract):
    def make(self):
        return BlackBox("tests.test_problems.darkened", differentiable=True, parameters="tests.test_problems.gains", sigma_y=0.05)


def test_functions_of_black_boxes():
    with pytest.raises(InvalidInput, match=r"tests\.test_problems\.signs has no derivative.*give lift="):
        BlackBox("tests.test_problems.signs")
    with pytest.raises(InvalidInput, match="did you mean signs"):
        BlackBox("tests.test_problems.sings")
    with pytest.raises(InvalidInput, match="cannot be imported"):
        BlackBox("tests.no_such_module.signs")
    for other in ("os.system", "builtins.eval", "torch.sign", "signs"):
        with pytest.raises(InvalidInput, match="not the dotted path of a function written in that module"):
            BlackBox(other)


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


class OwnProblem(Problem):
    """A user's own problem."""

    def operator(self, x_0, noise):
        return Identity()

    def card(self):
        return {"class_path": "tests.test_problems.OwnProblem", "init_args": {"sigma_y": self.sigma_y}}


class TestOwnMasks(ProblemContract):
    def make(self):
        return Inpainting(OwnMasks(2), sigma_y=0.05)


class TestOwnProblem(ProblemContract):
    def make(self):
        return OwnProblem(sigma_y=0.05)


class TestNoiseLevels:
    def test_the_range_is_filled_log_uniformly(self):
        sigma_y = Denoising(sigma_y=(0.01, 1.0)).draw(torch.zeros(400, 1, 1, 1), Noise(range(400))).sigma_y
        assert 0.01 <= sigma_y.min() < 0.012
        assert 0.85 < sigma_y.max() <= 1.0
        assert abs((sigma_y < 0.1).float().mean() - 0.5) < 0.08  # three standard errors

    def test_none_is_exact(self):
        x_0 = torch.randn(2, 1, 4, 4)
        assert torch.equal(Denoising().draw(x_0, Noise([0, 1])).y, x_0)

    def test_errors(self):
        with pytest.raises(InvalidInput, match=r"must be >= 0; got -0\.1"):
            Denoising(sigma_y=-0.1)
        with pytest.raises(InvalidInput, match="0 < low <= high"):
            Denoising(sigma_y=(0.2, 0.1))
        with pytest.raises(InvalidInput, match="0 < low <= high"):
            Denoising(sigma_y=(0.0, 0.1))


def test_names_of_masks_and_kernels():
    assert isinstance(Inpainting().masks, FreeFormMasks)
    assert isinstance(Inpainting("box").masks, BoxMasks)
    assert isinstance(Deblurring("motion").kernels, MotionKernels)
    with pytest.raises(InvalidInput, match="known: freeform, box, random, half; did you mean freeform"):
        Inpainting("free-form")
    with pytest.raises(InvalidInput, match="did you mean motion"):
        Deblurring("motoin")
    with pytest.raises(InvalidInput, match="did you mean reflect"):
        Deblurring(border="reflection")
    with pytest.raises(InvalidInput, match="did you mean average"):
        SuperResolution(kernel="averag")


def test_constant_operators_are_made_once(monkeypatch):
    problem, made = SuperResolution(4, kernel="bicubic"), []
    svd = torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda *args, **options: made.append(1) or svd(*args, **options))
    for _ in range(3):
        problem.draw(torch.randn(2, 1, 8, 8), Noise([0, 1]))
    assert len(made) == 2  # one per axis
    problem.draw(torch.randn(2, 1, 8, 12), Noise([0, 1]))
    assert len(made) == 4


def test_fixed_operators():
    mask = torch.ones(1, 1, 4, 4)
    problem = Fixed(InpaintingOperator(mask), sigma_y=0.1)
    assert problem.draw(torch.randn(2, 1, 4, 4), Noise([0, 1])).y.shape == (2, 1, 4, 4)
    card = problem.card()["init_args"]
    assert (card["operator"], card["signals"], card["sigma_y"]) == ("deft.operators.inpainting.Inpainting", 1, 0.1)


def test_fixed_operators_of_so_many_signals():
    masks = torch.eye(3).reshape(3, 1, 1, 3).expand(-1, -1, 3, -1)
    problem = Fixed(InUnits(InpaintingOperator(masks), 0.5, 0.5), sigma_y=0.1)
    assert problem.card()["init_args"]["signals"] == 3
    assert problem.draw(torch.randn(3, 1, 3, 3), Noise(range(3))).y.shape == (3, 1, 3, 3)
    with pytest.raises(InvalidInput, match="InUnits has parameters for 3 signals, each its own, and 2 are to be measured"):
        problem.draw(torch.randn(2, 1, 3, 3), Noise(range(2)))


class TestFingerprintOfAnOperator:
    @staticmethod
    def of(operator):
        return Fixed(operator).card()["init_args"]["fingerprint"]

    def test_tells_operators_apart(self):
        mask, other = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
        other[..., 0] = 0
        operators = [
            Identity(),
            InpaintingOperator(mask),
            InpaintingOperator(other),
            InUnits(InpaintingOperator(mask), 0.5, 0.5),
            InUnits(InpaintingOperator(mask), 0.5, 0.25),
            SuperResolutionOperator(2, (1, 8, 8)),
            SuperResolutionOperator(4, (1, 8, 8)),
            SuperResolutionOperator(2, (1, 8, 8), "bicubic"),
        ]
        assert len({self.of(operator) for operator in operators}) == len(operators)

    def test_depends_on_the_operator_alone(self):
        kernel = torch.rand(1, 3, 3)
        operator = Blur(kernel)
        before = self.of(operator)
        assert self.of(Blur(kernel.clone())) == before
        operator(torch.randn(2, 1, 8, 8))  # keeps a transfer function
        assert self.of(operator) == before
        assert self.of(operator.double()) == before
        assert self.of(SuperResolutionOperator(2, (1, 8, 8), "bicubic")) == self.of(SuperResolutionOperator(2, (1, 8, 8), "bicubic"))


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
            from_card({"class_path": "deft.problems.Inpainting", "init_args": {"masks": {"class_path": "tests.test_problems.OwnMasks"}}})

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
