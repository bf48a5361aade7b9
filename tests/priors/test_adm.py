import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deft.errors import CheckpointError, InvalidInput
from deft.priors import adm, adm_keys
from deft.priors.adm_layout import Layout, layout
from deft.priors.adm_published import PUBLISHED, published
from deft.schedules import VPTabulated
from tests.contracts.prior import PriorContract

pytest.importorskip("diffusers")

GOLDEN = Path(__file__).parents[1] / "golden"
SAID = {"schedule": "linear", "prediction_type": "epsilon", "value_range": (-1.0, 1.0)}
ALL = {**SAID, "image_size": 8, "attention_order": "legacy", "num_head_channels": 16}
PLAIN = Layout(1, 2, 32, (32, 64), 1, (False, True), True, "resnet", None)
LAYOUTS = {
    "plain": PLAIN,
    "classes": Layout(1, 1, 32, (32, 32), 1, (True, False), True, "resnet", 3),
    "improved": Layout(3, 6, 32, (32, 64), 2, (True, True), False, "conv", None),
    "three levels": Layout(1, 2, 32, (32, 32, 64), 1, (False, False, True), False, "resnet", None),
}


def network(shape=PLAIN, heads=lambda width, up: width // 16, size=8):
    """A random network of that layout: a `UNet2DModel`."""
    torch.manual_seed(0)
    unet = adm_keys.empty_unet(shape, size, heads).to_empty(device="cpu")
    for value in unet.parameters():
        torch.nn.init.normal_(value, std=0.1 if value.ndim < 2 else value[0].numel() ** -0.5)
    return unet.eval()


def saved(path, unet, shape=PLAIN, order="legacy"):
    """Its weights, as guided-diffusion would have saved them."""
    torch.save(adm_keys.from_diffusers(unet, shape, order), path)
    return path


@pytest.mark.parametrize("name", ["adm_class"])
class TestGolden:
    """Outputs of the original networks, with random weights."""

    def difference(self, name, **changes):
        io = load_file(GOLDEN / f"{name}.io.safetensors")
        unet = adm.load(GOLDEN / f"{name}.safetensors", **{**SAID, **changes}).unet
        labels = {"class_labels": io["labels"]} if "labels" in io else {}
        with torch.no_grad():
            out = unet(io["x"], io["timesteps"], **labels).sample
        return float((out - io["output"]).abs().max()), float(
            (out - io["output"]).norm() / io["output"].norm()
        )

    def test_it_is_the_original(self, name):
        assert self.difference(name)[0] < 1e-5

    def test_what_is_not_in_the_file_matters_and_loads_in_silence(self, name):
        wrong_heads = {"num_head_channels": 64}
        wrong_order = {"attention_order": "legacy" if name == "adm_class" else "new"}
        for wrong in (wrong_heads, wrong_order):
            assert self.difference(name, **wrong)[1] > 0.01


@pytest.mark.parametrize("order", ["legacy", "new"])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_network_comes_back_from_its_weights(name, order, dtype, tmp_path):
    """Of every layout: what the weights say is read from them alone."""
    shape = LAYOUTS[name]
    unet = network(shape).to(dtype)
    path = saved(tmp_path / "w.pt", unet, shape, order)
    assert layout(path, torch.load(path, weights_only=True)) == shape
    prior = adm.load(path, **{**ALL, "attention_order": order})
    assert prior.network_dtype == dtype
    labels = {} if shape.num_classes is None else {"class_labels": torch.tensor([2, 0])}
    theirs = unet.state_dict()
    assert all(torch.equal(value, theirs[n]) for n, value in prior.unet.state_dict().items())
    x_t = torch.randn(2, shape.in_channels, 8, 8, dtype=dtype)
    rounding = 1e-6 if dtype == torch.float32 else 2e-3
    for k in (0, 17, 500, 999):
        told = torch.tensor([k, 999 - k])
        with torch.no_grad():
            a, b = (one(x_t, told, **labels).sample for one in (prior.unet, unet))
        torch.testing.assert_close(a, b, rtol=0, atol=rounding)


def test_the_rows_of_q_k_and_v():
    """A head's rows are found where either order puts them: a matrix of row numbers."""
    rows = torch.arange(12.0)[:, None]
    legacy = adm_keys.split(rows, 2, "legacy")[..., 0].long().tolist()
    new = adm_keys.split(rows, 2, "new")[..., 0].long().tolist()
    assert legacy == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert new == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    for order in ("legacy", "new"):
        assert torch.equal(adm_keys.joined(adm_keys.split(rows, 2, order), 2, order), rows)


def test_a_fixed_number_of_heads_at_several_widths(tmp_path):
    """Each attention layer has that many, and its own scale."""
    shape = LAYOUTS["improved"]
    unet = network(shape, lambda width, up: 4)
    said = {**ALL, "num_head_channels": None, "num_heads": 4}
    prior = adm.load(saved(tmp_path / "w.pt", unet, shape), **said)
    layers = [m for n, m in prior.unet.named_modules() if n.split(".")[-2:-1] == ["attentions"]]
    assert {(m.heads, m.scale) for m in layers} == {(4, 8**-0.5), (4, 16**-0.5)}
    x_t = torch.randn(1, 3, 8, 8)
    assert torch.equal(prior.unet(x_t, 5).sample, unet(x_t, 5).sample)


class TestPrior(PriorContract):
    tolerance = 1e-5  # single precision

    @pytest.fixture(autouse=True)
    def _saved(self, tmp_path):
        self.path = saved(tmp_path / "small.pt", network())

    def prior(self):
        return adm.load(self.path, **ALL)

    def test_what_it_is(self):
        prior = self.prior()
        assert (prior.name, prior.event_shape, prior.value_range) == ("small", (1, 8, 8), (-1, 1))
        assert prior.takes == ()

    def test_the_half_that_is_the_variance_is_dropped(self):
        prior, x_t = self.prior(), torch.randn(1, 1, 8, 8)
        t = torch.tensor([0.3], dtype=torch.float64)
        at = prior.at(x_t, prior.schedule.snap(t))
        out = prior.unet(x_t, prior.schedule.told(t)).sample
        assert out.shape[1] == 2
        torch.testing.assert_close(at.eps_hat, out[:, :1], rtol=0, atol=1e-4)

    def test_safetensors_and_the_prefix_of_parallel_training(self, tmp_path):
        weights = torch.load(self.path, weights_only=True)
        save_file({f"module.{k}": v for k, v in weights.items()}, tmp_path / "w.safetensors")
        x_t, t = self.noisy(self.prior())
        again = adm.load(tmp_path / "w.safetensors", **ALL)
        assert torch.equal(again.denoise(x_t, t), self.prior().denoise(x_t, t))

    def test_each_thing_that_is_said_nowhere_is_named(self):
        for name in ("image_size", "attention_order", *SAID):
            with pytest.raises(InvalidInput, match=name.replace("schedule", "noise_schedule")):
                adm.load(self.path, **{**ALL, name: None})
        with pytest.raises(InvalidInput, match=r"heads, attention_order, image_size, noise_sched"):
            adm.load(self.path)

    def test_a_configuration_beside_the_file(self):
        config = {
            "image_size": 8,
            "num_channels": 32,
            "channel_mult": "1,2",
            "attention_resolutions": "4",
            "num_res_blocks": 1,
            "num_heads": 4,
            "num_head_channels": 16,
            "use_new_attention_order": False,
            "learn_sigma": True,
            "class_cond": False,
            "resblock_updown": True,
            "use_scale_shift_norm": True,
            "noise_schedule": "linear",
            "diffusion_steps": 1000,
            "predict_xstart": False,
            "value_range": [-1, 1],
        }
        file = self.path.with_suffix(".config.json")
        file.write_text(json.dumps(config))
        x_t, t = self.noisy(self.prior())
        assert torch.equal(adm.load(self.path).denoise(x_t, t), self.prior().denoise(x_t, t))
        assert adm.load(self.path, prediction_type="sample").prediction == "sample"
        for wrong in (
            {"num_channels": 64},
            {"channel_mult": "1,1"},
            {"attention_resolutions": "8"},
            {"learn_sigma": False},
            {"num_classes": 10},
            {"resblock_updown": False},
            {"depth_of_thought": 3},
            {"use_new_attention_order": "no"},
            {"noise_schedule": "quadratic"},
            {"image_size": 0},
            {"num_head_channels": 24},
        ):
            file.write_text(json.dumps({**config, **wrong}))
            with pytest.raises(InvalidInput, match=next(iter(wrong))):
                adm.load(self.path)
        file.write_text("[1]")
        with pytest.raises(CheckpointError, match="a JSON object"):
            adm.load(self.path)
        with pytest.raises(InvalidInput, match="a JSON file that exists"):
            adm.load(self.path, config=file.with_name("none.json"))

    def test_weights_that_are_missing_or_more_are_named_with_their_shapes(self):
        weights = torch.load(self.path, weights_only=True)
        names = [n for n in weights if "out_layers.0" in n]
        torch.save({n: v for n, v in weights.items() if n not in names}, self.path)
        with pytest.raises(CheckpointError, match=r"missing \d+: .*out_layers\.0\.weight \(32,\)"):
            adm.load(self.path, **ALL)
        torch.save({**weights, "more.weight": torch.zeros(3, 2)}, self.path)
        with pytest.raises(CheckpointError, match=r"not of this network 1: more\.weight \(3, 2\)"):
            adm.load(self.path, **ALL)
        torch.save({**weights, "out.2.bias": torch.zeros(3)}, self.path)
        with pytest.raises(CheckpointError, match=r"another shape 1: out\.2\.bias \(3,\)"):
            adm.load(self.path, **ALL)
        torch.save({**weights, "out.2.bias": torch.full((2,), torch.nan)}, self.path)
        with pytest.raises(CheckpointError, match="NaN"):
            adm.load(self.path, **ALL)

    def test_heads_must_divide_the_widths(self):
        for wrong in (
            {"num_head_channels": 24},
            {"num_head_channels": None, "num_heads": 5},
            {"num_heads": 2},
            {"num_head_channels": 0},
        ):
            with pytest.raises(InvalidInput, match=r"details\.num_head"):
                adm.load(self.path, **{**ALL, **wrong})


class TestOtherKinds:
    """Networks that are like these and are no such prior are refused with the reason."""

    def refused(self, tmp_path, change, match):
        weights = adm_keys.from_diffusers(network(), PLAIN, "legacy")
        torch.save(change(weights), tmp_path / "w.pt")
        with pytest.raises((InvalidInput, CheckpointError), match=match):
            adm.load(tmp_path / "w.pt", **ALL)

    def test_a_classifier(self, tmp_path):
        self.refused(
            tmp_path,
            lambda w: {n: v for n, v in w.items() if not n.startswith("output")},
            "a classifier",
        )

    def test_an_upsampler(self, tmp_path):
        first = {"input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}
        self.refused(tmp_path, lambda w: w | first, "6 channels in and 2 out.*no prior")

    def test_imagenet_512(self, tmp_path):
        """Its first level is half as wide as the embedding of the time."""
        time = {"time_embed.0.weight": torch.zeros(256, 64)}
        self.refused(tmp_path, lambda w: w | time, r"channel_mult 0\.5.*ImageNet-512")

    def test_one_dimension(self, tmp_path):
        first = {"input_blocks.0.0.weight": torch.zeros(32, 1, 3)}
        self.refused(tmp_path, lambda w: w | first, "over 1 axes")

    def test_resampling_without_weights(self, tmp_path):
        self.refused(
            tmp_path,
            lambda w: {n: v for n, v in w.items() if not n.startswith("output_blocks.1.2")},
            "without a step up",
        )

    def test_blocks_that_are_missing(self, tmp_path):
        self.refused(
            tmp_path,
            lambda w: {n: v for n, v in w.items() if not n.startswith("output_blocks.3.")},
            "3 output_blocks",
        )


class TestSchedule:
    def test_four_thousand_steps(self, tmp_path):
        path = saved(tmp_path / "w.pt", network())
        with pytest.raises(InvalidInput, match="rescale_timesteps"):
            adm.load(path, **ALL, diffusion_steps=4000)
        told = {}
        for rescale in (True, False):
            prior = adm.load(
                path,
                **{**ALL, "schedule": "cosine"},
                diffusion_steps=4000,
                rescale_timesteps=rescale,
            )
            assert isinstance(prior.schedule, VPTabulated)
            assert prior.schedule.num_steps == 4000
            told[rescale] = float(prior.schedule.told(torch.tensor([0.5], dtype=torch.float64)))
            identity = prior.identity()["schedule"]
            assert ("time_scale" in identity) == rescale
        assert math.isclose(told[True], told[False] / 4)

    def test_the_linear_table_of_fewer_steps_ends_at_the_same_noise(self, tmp_path):
        path = saved(tmp_path / "w.pt", network())
        ends = [
            adm.load(path, **ALL, diffusion_steps=n, rescale_timesteps=False).schedule.log_snr(
                torch.ones(1, dtype=torch.float64)
            )
            for n in (500, 1000, 4000)
        ]
        assert max(ends) - min(ends) < 0.2


class TestPublished:
    @pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.files)
    def test_it_is_recognised_by_its_shapes_alone(self, row):
        unet = adm_keys.empty_unet(row.layout, row.image_size, lambda width, up: 1)
        shapes = adm_keys.wanted(unet, row.layout)
        weights = {n: torch.empty(shape, device="meta") for n, shape in shapes.items()}
        assert published(layout(Path("w.pt"), weights)) is row
        assert set(row.facts()) >= {"image_size", "attention_order", "noise_schedule"}

    @pytest.mark.parametrize(
        ("file", "millions"),
        [("256x256_diffusion_uncond", 552.8), ("ffhq_10m", 93.6), ("64x64_diffusion", 295.9)],
    )
    def test_parameters(self, file, millions):
        row = next(row for row in PUBLISHED if file in row.files)
        unet = adm_keys.empty_unet(row.layout, row.image_size, lambda width, up: 1)
        assert abs(sum(p.numel() for p in unet.parameters()) / 1e6 - millions) < 0.06

    def test_no_two_have_one_shape(self):
        assert len({row.layout for row in PUBLISHED}) == len(PUBLISHED)

    def test_what_is_published_is_known_without_a_word(self):
        row = PUBLISHED[0]
        facts = adm.known(Path("nowhere.pt"), row.layout, adm.Details())
        assert facts["heads"] == {"num_head_channels": 64}
        assert facts["from"]["heads"].startswith("as published")
        said = adm.known(Path("nowhere.pt"), row.layout, adm.Details(num_heads=3), "linear")
        assert (said["heads"], said["noise_schedule"]) == ({"num_heads": 3}, "linear")
