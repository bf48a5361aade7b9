"""Every family: what a folder of its own library gives, is the network that was saved."""

import copy
import json

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors import predictions
from deft.priors.diffusers import load
from deft.priors.diffusers_networks import patches, unpatched
from tests.contracts.prior import PriorContract
from tests.priors import diffusers_tiny as tiny

CASES = {case.name: case for case in tiny.cases()}
TIMES = torch.tensor([0.02, 0.4, 0.7, 0.99], dtype=torch.float64)


def told_by_scheduler(scheduler, prior, t):
    """What the foreign scheduler would tell the network at this level of noise, computed from its
    own tables; the time nearest to t at which it has one.
    """
    alpha, sigma = float(prior.schedule.alpha(t)), float(prior.schedule.sigma(t))
    name = type(scheduler).__name__
    if name == "EDMEulerScheduler":
        return scheduler.precondition_noise(torch.tensor([sigma])), t
    if name == "FlowMatchEulerDiscreteScheduler":
        return torch.tensor([1000 * sigma / (alpha + sigma)]), t
    entry = int((scheduler.alphas_cumprod - alpha**2).abs().argmin())
    return torch.tensor([entry]), prior.schedule.snap(t)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.filterwarnings("ignore:.*distilled")
def test_the_network_that_was_saved(tmp_path, name, dtype):
    """In half precision both compute on the CPU, whose operations have it; diffusers' own network
    that is told numbers as classes does not run in it.
    """
    case = CASES[name]
    half = dtype == torch.float16
    if half and name == "class-numbers":
        with pytest.raises(RuntimeError, match="dtype"):
            case.ask(
                copy.deepcopy(case.network).half(),
                torch.zeros(1, 1, 8, 8).half(),
                torch.tensor([3]),
                case.context,
            )
        return
    folder = tiny.saved(tmp_path, case.network, case.scheduler)
    prior = load(folder, dtype=dtype, image_size=case.size, context=case.context)
    assert prior.network_dtype == dtype
    assert prior.num_parameters == sum(p.numel() for p in case.network.parameters())
    theirs = copy.deepcopy(case.network).to(dtype)
    context = {
        key: value.to(dtype) if value.is_floating_point() and value.ndim > 1 else value
        for key, value in case.context.items()
    }
    x = torch.randn(1, *prior.event_shape, generator=torch.Generator().manual_seed(5))
    for t in TIMES[:, None]:
        told, at = told_by_scheduler(case.scheduler, prior, t)
        alpha_t, sigma_t = prior.levels(x, at)
        given = prior._prediction.given(x, alpha_t, sigma_t)
        with torch.no_grad():
            out = case.ask(theirs, given.to(dtype), told, context)
            expected = predictions.prediction(prior._prediction).x_0_hat(
                out[:, : x.shape[1]].float(), x, alpha_t, sigma_t
            )
            found = prior.denoise(x, at)
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)
        assert found.dtype == torch.float32


@pytest.mark.parametrize("name", ["class-numbers", "sdxl", "dit", "sd3", "flux-guidance"])
@pytest.mark.filterwarnings("ignore:.*distilled")
def test_everything_that_is_told_counts(tmp_path, name):
    case = CASES[name]
    folder = tiny.saved(tmp_path, case.network, case.scheduler)
    prior = load(folder, image_size=case.size, context=case.context)
    x, t = torch.randn(1, *prior.event_shape), torch.tensor([0.5], dtype=torch.float64)
    for key, value in case.context.items():
        other = prior.given(**{key: value + 1})
        assert not torch.allclose(other.denoise(x, t), prior.denoise(x, t)), key


class TestTransformer(PriorContract):
    """With a context of its own for each signal."""

    tolerance = 2e-5  # single precision

    @pytest.fixture(autouse=True)
    def _saved(self, tmp_path):
        case = CASES["sd3"]
        self.folder = tiny.saved(tmp_path, case.network, case.scheduler)

    def prior(self):
        generator = torch.Generator().manual_seed(0)
        prompt = {
            "encoder_hidden_states": torch.randn(3, 5, 24, generator=generator),
            "pooled_projections": torch.randn(3, 20, generator=generator),
        }
        return load(self.folder, context=prompt)


class TestPrompted(PriorContract):
    """With one context for all, and a variance beside the prediction."""

    tolerance = 2e-5

    @pytest.fixture(autouse=True)
    def _saved(self, tmp_path):
        steps = tiny.betas(beta_start=1e-3, beta_end=0.15)
        self.folder = tiny.saved(tmp_path, tiny.conditioned(out_channels=8), steps)

    def prior(self):
        prompt = torch.linspace(-1, 1, 5 * 12).reshape(1, 5, 12)
        return load(self.folder, context={"encoder_hidden_states": prompt})


def saved(tmp_path, name):
    case = CASES[name]
    return tiny.saved(tmp_path, case.network, case.scheduler)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("classes", "class_labels a whole number from 0 to 4"),
        ("class-numbers", "class_labels a number"),
        ("class-embeddings", "class_labels (32)"),
        ("sd", "encoder_hidden_states (any, 12)"),
        ("sd3", "encoder_hidden_states (any, 24); pooled_projections (20)"),
        ("sdxl", "text_embeds (10) (with 6 time_ids; 34 in all, 4 for each id); time_ids (6)"),
        ("projected-classes", "class_labels (9)"),
    ],
)
def test_what_it_lacks_is_named_with_its_shape(tmp_path, name, shapes):
    prior = load(saved(tmp_path, name))
    assert prior.takes == tuple(prior.lacks)
    with pytest.raises(InvalidInput) as raised:
        prior.denoise(torch.zeros(1, *prior.event_shape), torch.tensor([0.5]))
    assert shapes in raised.value.expected
    assert "prior.given(" in raised.value.advice


def test_the_class_that_stands_for_none(tmp_path):
    prior = load(saved(tmp_path, "dit"))
    assert prior.context.values["class_labels"].tolist() == [10]
    assert not prior.lacks
    assert prior.num_classes == 11
    with pytest.raises(InvalidInput, match="whole numbers from 0 to 10"):
        prior.given(class_labels=torch.tensor([11]))


def test_one_context_for_all_or_one_for_each(tmp_path):
    prior = load(saved(tmp_path, "sd"))
    prompt = torch.randn(7, 12)
    one, several = (
        prior.given(encoder_hidden_states=value) for value in (prompt, prompt.expand(3, 7, 12))
    )
    x, t = torch.randn(3, *prior.event_shape), torch.tensor([0.5], dtype=torch.float64)
    torch.testing.assert_close(one.denoise(x, t), several.denoise(x, t))
    assert one.num_observations == 1
    assert several.take([1]).num_observations == 1


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1, 7, 11),
        torch.zeros(7, 12).bool(),
        torch.zeros(1, 1, 7, 12),
        torch.zeros(0, 7, 12),
        torch.full((1, 7, 12), float("nan")),
    ],
)
def test_a_context_of_another_shape(tmp_path, value):
    prior = load(saved(tmp_path, "sd"))
    with pytest.raises(InvalidInput) as raised:
        prior.given(encoder_hidden_states=value)
    assert raised.value.what == "encoder_hidden_states"


def test_guidance_that_was_distilled_is_said(tmp_path):
    folder = saved(tmp_path, "flux-guidance")
    with pytest.warns(UserWarning, match="no mean of x_0"):
        prior = load(folder, image_size=8)
    assert prior.identity()["guidance_distilled"] is True
    assert prior.context.values["guidance"].tolist() == [1]
    assert tuple(prior.lacks) == ("encoder_hidden_states", "pooled_projections")


def test_flux_does_not_say_its_size(tmp_path):
    folder = saved(tmp_path, "flux")
    with pytest.raises(InvalidInput, match="size"):
        load(folder)
    tiny.with_autoencoder(folder)
    prior = load(folder, image_size=32)
    assert prior.event_shape == (4, 16, 16)
    assert (prior.value_range, prior.scale) == (None, 1.0)
    with pytest.raises(InvalidInput, match="a multiple of 2"):
        load(folder, image_size=33)


def test_patches_are_those_of_flux():
    from diffusers import FluxPipeline

    x = torch.randn(2, 3, 6, 4)
    assert torch.equal(patches(x), FluxPipeline._pack_latents(x, 2, 3, 6, 4))
    assert torch.equal(unpatched(patches(x), 6), x)


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (lambda: tiny.conditioned(in_channels=9), "maps 9 channels to 4"),
        (
            lambda: tiny.conditioned(encoder_hid_dim=12, encoder_hid_dim_type="image_proj"),
            "encoder_hid_dim_type",
        ),
        (lambda: tiny.conditioned(time_cond_proj_dim=8), "time_cond_proj_dim"),
        (lambda: tiny.conditioned(class_embed_type="timestep", sample_size=None), "size"),
    ],
)
def test_networks_that_are_told_more_are_refused(tmp_path, network, what):
    folder = tiny.saved(tmp_path, network(), tiny.betas())
    with pytest.raises(InvalidInput) as raised:
        load(folder)
    assert what in str(raised.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("dit", "num_layers", 10**9),
        ("dit", "num_attention_heads", 4096),
        ("sd3", "joint_attention_dim", -1),
        ("sd", "cross_attention_dim", "12"),
        ("sd", "layers_per_block", [1] * 17),
        ("sd3", "rotary", True),
    ],
)
def test_sizes_are_checked_before_anything_is_allocated(tmp_path, name, key, value):
    folder = saved(tmp_path, name)
    file = next(path for path in folder.glob("*/config.json") if path.parent.name != "scheduler")
    config = json.loads(file.read_text()) | {key: value}
    if value == 4096:
        config |= {"attention_head_dim": 4096, "num_layers": 500}
        key = "num_layers"
    file.write_text(json.dumps(config))
    with pytest.raises(InvalidInput) as raised:
        load(folder)
    assert key in raised.value.what


def test_a_large_network_is_asked_for_shapes_alone(tmp_path, monkeypatch):
    import deft.priors.diffusers_probe as probe

    monkeypatch.setattr(probe, "_LARGE", 0)
    for name in ("sd", "sdxl", "dit", "sd3"):
        prior = load(saved(tmp_path / name, name))
        assert next(prior.unet.parameters()).device.type == "cpu"


def test_a_network_of_another_class(tmp_path):
    folder = saved(tmp_path, "dit")
    file = folder / "transformer" / "config.json"
    content = json.loads(file.read_text()) | {"_class_name": "PixArtTransformer2DModel"}
    file.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="holds a PixArtTransformer2DModel"):
        load(folder)


def test_a_pipeline_whose_autoencoder_is_missing(tmp_path):
    folder = saved(tmp_path, "dit")
    index = folder / "model_index.json"
    said = json.loads(index.read_text()) | {"vae": ["diffusers", "AutoencoderKL"]}
    index.write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="the autoencoder that model_index"):
        load(folder)
