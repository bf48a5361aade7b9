import json

import pytest
import torch

from deft.errors import CheckpointError, InvalidInput
from deft.priors.diffusers import load
from deft.priors.diffusers_unet import DiffusersPrior
from deft.priors.identity import same_identity
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.schedules import EDM, VE, VPLinear, VPTabulated
from tests.contracts.prior import PriorContract

diffusers = pytest.importorskip("diffusers")


def unet(**changes):
    torch.manual_seed(0)
    config = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 1,
        "block_out_channels": (8, 8),
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
    }
    return diffusers.UNet2DModel(**config | changes)


def betas(**changes):
    return diffusers.DDPMScheduler(
        num_train_timesteps=100, beta_start=1e-3, beta_end=0.15, **changes
    )


class TestPipeline(PriorContract):
    tolerance = 1e-5  # single precision

    @pytest.fixture(autouse=True)
    def _saved(self, tmp_path):
        diffusers.DDPMPipeline(unet(), betas()).save_pretrained(tmp_path)
        self.folder = tmp_path

    def prior(self):
        return load(self.folder)

    def test_the_estimate_is_that_of_the_scheduler(self):
        """`pred_original_sample`, which the scheduler computes itself."""
        prior, scheduler = self.prior(), betas(clip_sample=False)
        x_t = torch.randn(2, 1, 8, 8)
        for k in (3, 60, 99):
            with torch.no_grad():
                out = prior.unet(x_t, k).sample
            expected = scheduler.step(out, k, x_t).pred_original_sample
            x_0_hat = prior.denoise(x_t, torch.tensor([k / 99], dtype=torch.float64))
            torch.testing.assert_close(x_0_hat, expected, rtol=1e-4, atol=1e-4)

    def test_what_it_is(self):
        prior = self.prior()
        assert prior.event_shape == (1, 8, 8)
        assert prior.value_range == (-1.0, 1.0)
        assert isinstance(prior.schedule, VPTabulated)
        assert prior.schedule.num_steps == 100
        assert prior.name == self.folder.name
        assert load(self.folder, dtype=torch.float64).dtype == torch.float64

    def test_samplers_run(self):
        prior = self.prior()
        for sampler in (DDIM(10, eta=1.0), DPMSolver(10)):
            assert bool(sampler(prior, 2).isfinite().all())


class TestScoreSDE(PriorContract):
    tolerance = 1e-4  # single precision, and noise of standard deviation 50

    def prior(self):
        network = unet(time_embedding_type="fourier")
        torch.nn.init.normal_(network.conv_out.weight, std=0.02)
        return DiffusersPrior(
            network, VE(0.01, 50), prediction_type="score", value_range=(0.0, 1.0)
        )


class TestClasses(PriorContract):
    tolerance = 1e-5

    def prior(self):
        prior = DiffusersPrior(unet(num_class_embeds=5), VPTabulated.linear(100, 1e-3, 0.15))
        return prior.given(class_labels=torch.tensor([0, 3, 4]))

    def test_labels(self):
        prior = DiffusersPrior(unet(num_class_embeds=5), VPTabulated.linear(100, 1e-3, 0.15))
        x_t, t = torch.randn(1, 1, 8, 8), torch.tensor([0.5])
        with pytest.raises(InvalidInput, match=r"Use prior.given\(class_labels"):
            prior.denoise(x_t, t)
        with pytest.raises(InvalidInput, match="whole numbers from 0 to 4"):
            prior.given(class_labels=torch.tensor([5]))
        by_class = [prior.given(class_labels=torch.tensor([k])).denoise(x_t, t) for k in (1, 2)]
        assert not torch.equal(*by_class)
        assert not prior.context.values  # `given` leaves the prior as it was
        assert prior.given(class_labels=torch.tensor([1])).identity() == prior.identity()


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_prediction_types(tmp_path, prediction_type):
    scheduler = betas(prediction_type=prediction_type, clip_sample=False)
    diffusers.DDIMPipeline(
        unet(), diffusers.DDIMScheduler.from_config(scheduler.config)
    ).save_pretrained(tmp_path)
    prior, x_t, k = load(tmp_path), torch.randn(1, 1, 8, 8), 40
    with torch.no_grad():
        expected = scheduler.step(prior.unet(x_t, k).sample, k, x_t).pred_original_sample
    torch.testing.assert_close(
        prior.denoise(x_t, torch.tensor([k / 99], dtype=torch.float64)),
        expected,
        rtol=1e-4,
        atol=1e-4,
    )


def test_score_sde_pipeline(tmp_path):
    """Its network is told sigma and returns the score; images are in [0, 1]."""
    from diffusers.pipelines.deprecated import ScoreSdeVePipeline

    scheduler = diffusers.ScoreSdeVeScheduler(sigma_min=0.02, sigma_max=50.0)
    ScoreSdeVePipeline(unet(time_embedding_type="fourier"), scheduler).save_pretrained(tmp_path)
    prior = load(tmp_path)
    assert prior.value_range == (0.0, 1.0)
    t = torch.tensor([0.5], dtype=torch.float64)
    x_t = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        score = prior.unet(x_t, torch.ones(1)).sample  # sigma_t = sqrt(0.02 * 50) = 1
    torch.testing.assert_close(prior.at(x_t, t).score, score, rtol=1e-4, atol=1e-4)


def test_the_variance_head_is_left_out():
    both = unet(out_channels=2)
    prior = DiffusersPrior(both, VPTabulated.linear(100, 1e-3, 0.15))
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([0.4])
    with torch.no_grad():
        eps = both(x_t, prior.schedule.index(t)).sample[:, :1]
    alpha_t, sigma_t = prior.levels(x_t, t)
    torch.testing.assert_close(prior.denoise(x_t, t), (x_t - sigma_t * eps) / alpha_t)


def test_a_folder_of_the_model_alone(tmp_path):
    unet(sample_size=(8, 16)).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match="Give `schedule`"):
        load(tmp_path)
    prior = load(tmp_path, schedule=VPTabulated.linear(), scale=0.7)
    assert prior.event_shape == (1, 8, 16)
    assert prior.scale == 0.7
    betas().save_pretrained(tmp_path)
    assert load(tmp_path).schedule.num_steps == 100


def test_zero_terminal_snr(tmp_path):
    diffusers.DDPMPipeline(
        unet(), betas(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    ).save_pretrained(tmp_path)
    prior = load(tmp_path)
    assert prior.schedule.log_snr_range[0] > -17
    assert bool(DDIM(5)(prior, 1).isfinite().all())


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="there is no folder"):
        load("./nowhere")
    with pytest.raises(InvalidInput, match="holds no network"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    with pytest.raises(InvalidInput, match="holds a AutoencoderKL"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="no readable JSON"):
        load(tmp_path)
    unet().save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="could not be read"):
        load(tmp_path, schedule=VPTabulated.linear())
    with pytest.raises(InvalidInput, match="Use Rescheduled"):
        DiffusersPrior(unet(), VPLinear())
    with pytest.raises(InvalidInput, match="erhaps epsilon is meant"):
        DiffusersPrior(unet(), VPTabulated.linear(), prediction_type="epsilom")
    with pytest.raises(InvalidInput, match="sample_size"):
        DiffusersPrior(unet(sample_size=None), VPTabulated.linear())
    with pytest.raises(InvalidInput, match="as many, or twice as many"):
        DiffusersPrior(unet(out_channels=3), VPTabulated.linear())


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"scale": float("nan")}, "scale"),
        ({"scale": 0.0}, "scale"),
        ({"value_range": (1.0, -1.0)}, "value_range"),
        ({"value_range": (float("nan"), 1.0)}, "value_range"),
    ],
)
def test_what_cannot_be_meant(settings, what):
    with pytest.raises(InvalidInput) as raised:
        DiffusersPrior(unet(), VPTabulated.linear(), **settings)
    assert what in raised.value.what


def test_one_that_is_built_here_is_asked_once_too():
    with pytest.raises(InvalidInput) as raised:
        DiffusersPrior(unet(sample_size=7), VPTabulated.linear())
    assert "sample_size" in raised.value.what


@pytest.mark.parametrize("labels", [[], [1.5], [True], [3], [-1], [float("nan")]])
def test_labels_that_are_none(labels):
    prior = DiffusersPrior(unet(num_class_embeds=3), VPTabulated.linear())
    with pytest.raises(InvalidInput) as raised:
        prior.given(class_labels=torch.tensor(labels))
    assert raised.value.what == "class_labels"
    assert raised.value.given is not None


def test_a_hub_id_without_a_connection(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        CheckpointError, match="no local folder, and could not be had from the Hugging Face hub"
    ):
        load("nobody/no-such-prior-of-deft")


class TestFolders:
    """What a folder holds is said, and refused where it cannot be a prior of images."""

    def test_a_latent_pipeline_gives_the_prior_of_its_latents(self, tmp_path):
        unet().save_pretrained(tmp_path / "unet")
        betas().save_pretrained(tmp_path / "scheduler")
        (tmp_path / "vqvae").mkdir()
        with pytest.raises(CheckpointError, match=r"vqvae.*the autoencoder"):
            load(tmp_path)
        (tmp_path / "vqvae" / "config.json").write_text(json.dumps({"block_out_channels": [4, 4]}))
        prior = load(tmp_path)
        assert (prior.value_range, prior.scale) == (None, 1.0)
        assert load(tmp_path, image_size=32).event_shape == (1, 16, 16)
        (tmp_path / "model_index.json").write_text(
            json.dumps({"_class_name": "KandinskyPipeline", "prior": ["diffusers", "Prior"]})
        )
        with pytest.raises(InvalidInput, match="KandinskyPipeline with prior"):
            load(tmp_path)

    def test_several_networks(self, tmp_path):
        for name in ("unet", "unet_ema"):
            unet().save_pretrained(tmp_path / name)
        betas().save_pretrained(tmp_path / "scheduler")
        with pytest.raises(InvalidInput) as raised:
            load(tmp_path)
        assert "unet, unet_ema" in raised.value.given
        assert "subfolder='unet_ema'" in raised.value.advice
        assert load(tmp_path, subfolder="unet_ema").event_shape == (1, 8, 8)
        with pytest.raises(InvalidInput) as raised:
            load(tmp_path, subfolder="unet_em")
        assert "unet_ema" in raised.value.expected

    def test_half_precision_alone_is_read(self, tmp_path):
        unet().half().save_pretrained(tmp_path, variant="fp16")
        betas().save_pretrained(tmp_path)
        assert load(tmp_path).dtype == torch.float32
        next(tmp_path.glob("*.safetensors")).unlink()
        with pytest.raises(CheckpointError) as raised:
            load(tmp_path)
        assert "diffusion_pytorch_model.safetensors" in raised.value.expected

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("sample_size", "8"),
            ("sample_size", -8),
            ("sample_size", [8, 8, 8]),
            ("in_channels", 10**9),
            ("in_channels", 1.5),
            ("block_out_channels", []),
            ("block_out_channels", [8, "8"]),
            ("block_out_channels", [10**9, 8]),
            ("layers_per_block", 0),
            ("num_class_embeds", -1),
            ("norm_eps", "a"),
            ("dropout", -1.0),
            ("mid_block_type", "MyBlock"),
            ("prediction_type", "epsilon"),
            ("depth", 3),
            ("block_out_channels", [16_000] * 16),
        ],
    )
    def test_sizes_are_checked_before_anything_is_allocated(self, tmp_path, key, value):
        unet().save_pretrained(tmp_path)
        betas().save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
        with pytest.raises(InvalidInput) as raised:
            load(tmp_path)
        assert key in raised.value.what
        assert raised.value.given == (f"the text {value!r}" if key == "norm_eps" else value)

    @pytest.mark.parametrize("edit", ["missing", "unexpected"])
    def test_weights_of_another_network_are_refused(self, tmp_path, edit):
        from safetensors.torch import load_file, save_file

        unet().save_pretrained(tmp_path)
        betas().save_pretrained(tmp_path)
        file = tmp_path / "diffusion_pytorch_model.safetensors"
        weights = load_file(file)
        changed = (
            {name: value for name, value in weights.items() if name != "conv_in.weight"}
            if edit == "missing"
            else weights | {"more": torch.zeros(2)}
        )
        save_file(changed, file, {"format": "pt"})
        with pytest.raises(CheckpointError) as raised:
            load(tmp_path)
        assert ("conv_in.weight" if edit == "missing" else "more") in raised.value.given

    @pytest.mark.parametrize("text", ["", "[]", "{" * 100, '"text"', '{"a": NaN}', "\x00\xff"])
    def test_a_damaged_configuration(self, tmp_path, text):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load(tmp_path)


class TestProbe:
    def saved(self, tmp_path, network):
        network.save_pretrained(tmp_path)
        betas().save_pretrained(tmp_path)
        return tmp_path

    @pytest.mark.parametrize("large", [False, True])
    def test_a_size_that_the_network_cannot_take(self, tmp_path, monkeypatch, large):
        if large:
            monkeypatch.setattr("deft.priors.diffusers_probe._LARGE", 0)
        deep = {
            "block_out_channels": (8,) * 4,
            "down_block_types": ("DownBlock2D",) * 4,
            "up_block_types": ("UpBlock2D",) * 4,
        }
        with pytest.raises(InvalidInput) as raised:
            load(self.saved(tmp_path, unet(sample_size=28, **deep)))
        assert raised.value.given == 28
        assert "halves them 3 times" in raised.value.expected
        assert load(self.saved(tmp_path, unet(sample_size=32, **deep))).event_shape == (1, 32, 32)

    def test_weights_that_are_not_finite(self, tmp_path):
        network = unet()
        network.conv_in.bias.data[0] = float("nan")
        with pytest.raises(CheckpointError) as raised:
            load(self.saved(tmp_path, network))
        assert "conv_in.bias" in raised.value.given

    def test_labels(self, tmp_path):
        prior = load(self.saved(tmp_path, unet(num_class_embeds=5)))
        six = prior.given(class_labels=torch.arange(6) % 5)
        with pytest.raises(InvalidInput) as raised:
            six.denoise(torch.zeros(3, 1, 8, 8), torch.tensor([0.5]))
        assert raised.value.given == "6 for 3 signals"
        assert prior.given(class_labels=torch.tensor([2])).denoise(
            torch.zeros(3, 1, 8, 8), torch.tensor([0.5])
        ).shape == (3, 1, 8, 8)


class TestIdentity:
    def test_the_same_weights_are_another_prior_under_another_schedule_prediction_or_scale(self):
        network = unet()
        table = VPTabulated.linear(100, 1e-3, 0.15)
        priors = [
            DiffusersPrior(network, table),
            DiffusersPrior(network, VPTabulated.linear(100, 1e-3, 0.1)),
            DiffusersPrior(network, table, prediction_type="v_prediction"),
            DiffusersPrior(network, table, scale=0.7),
        ]
        first, *others = [prior.identity() for prior in priors]
        assert not same_identity(first, first)
        for other, what in zip(others, ("schedule", "prediction", "scale"), strict=True):
            (said,) = same_identity(first, other)
            assert said.startswith(what)
        old = {
            name: first[name] for name in ("name", "hash", "event_shape")
        }  # as version 0.1 recorded it
        assert not any(same_identity(old, other) for other in [first, *others])

    def test_half_precision_weights_leave_states_in_single(self):
        for dtype in (torch.bfloat16, torch.float16):
            prior = DiffusersPrior(unet().to(dtype), VPTabulated.linear(100, 1e-3, 0.15))
            assert prior.dtype == torch.float32
            assert DDIM(3, eta=1.0)(prior, 2).dtype == torch.float32
        assert (
            DiffusersPrior(unet().double(), VPTabulated.linear(100, 1e-3, 0.15)).dtype
            == torch.float64
        )


def test_a_schedule_of_another_kind_needs_its_prediction(tmp_path):
    """A folder of EDM says nothing of what its network predicts under a table."""
    unet().save_pretrained(tmp_path)
    edm = diffusers.EDMEulerScheduler(sigma_max=50.0)
    (tmp_path / "scheduler").mkdir()
    edm.save_pretrained(tmp_path / "scheduler")
    with pytest.raises(InvalidInput, match="prediction_type"):
        load(tmp_path, schedule="linear")
    assert load(tmp_path, schedule="linear", prediction_type="epsilon").prediction == "epsilon"
    same, x_t, t = EDM(0.002, 50.0, 7.0), torch.randn(1, 1, 8, 8), torch.tensor([0.4])
    again = load(tmp_path, schedule=same)
    torch.testing.assert_close(again.denoise(x_t, t), load(tmp_path).denoise(x_t, t))
