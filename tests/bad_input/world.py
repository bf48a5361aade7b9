"""The files that wrong commands name: priors, runs, pictures, arrays, slices and masks, most of
them wrong in one way.

`build(root)` makes all of them once; rows say `{w}` for the folder.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from deft.cli import main
from deft.priors import zoo
from tests.bad_input import protein_world, scans_world
from tests.commands.conftest import save_images, tiny_prior
from tests.commands.volumes import save as save_volume
from tests.commands.volumes import volume
from tests.data.slices import stack, write_dicom

PROBLEM = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.05"]


def build(root: Path) -> Path:
    """The folder, filled."""
    for part in (
        _priors,
        _pictures,
        _arrays,
        _masks,
        _slices,
        _runs,
        _cards,
        _configurations,
        _diffusers,
        _foreign,
        _others,
    ):
        part(root)
    return root


def flip(source: Path, target: Path, place: float) -> None:
    """A copy with one bit changed at a share of its length."""
    content = bytearray(source.read_bytes())
    content[int(place * len(content))] ^= 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bytes(content))


def _priors(root: Path) -> None:
    zoo.save(root / "tiny.safetensors", tiny_prior(), {"data": "ramps"})
    zoo.save(root / "other.safetensors", tiny_prior(seed=1, name="other"), {"data": "ramps"})
    zoo.save(root / "rgb.safetensors", tiny_prior(shape=(3, 16, 16), name="rgb"), {"data": "ramps"})
    flip(root / "tiny.safetensors", root / "flipped.safetensors", 0.7)
    flip(root / "tiny.safetensors", root / "flipped_card.safetensors", 0.02)
    broken = tiny_prior()
    with torch.no_grad():
        next(broken.network.parameters()).view(-1)[0] = torch.nan
    edit(
        root / "tiny.safetensors",
        root / "nan.safetensors",
        tensors=lambda _: dict(broken.network.state_dict()),
    )
    scans_world.build(root / "scans")
    save_volume(root / "volumes" / "a.nii.gz", volume())
    (root / "cut.safetensors").write_bytes((root / "tiny.safetensors").read_bytes()[:5000])
    (root / "empty.safetensors").write_bytes(b"")
    (root / "text.safetensors").write_text("weights")
    torch.save({"weight": torch.zeros(2)}, root / "weights.pt")
    save_file({"weight": torch.zeros(2)}, root / "foreign.safetensors")


def edit(
    source: Path,
    target: Path,
    card: Callable[[dict], object] | None = None,
    tensors: Callable[[dict], dict] | None = None,
) -> None:
    """A copy whose card or tensors are changed, sealed again as any stranger can: a card that
    comes out as a text is stored as it is.
    """
    values = load_file(source)
    with safe_open(source, "pt") as opened:
        said = dict(opened.metadata())
    content: object = json.loads(said["card"])
    if card is not None:
        content = card(content) or content  # type: ignore[arg-type]
    said["card"] = content if isinstance(content, str) else json.dumps(content)
    said["sha256"] = "0" * 64
    whole = bytearray(save(tensors(values) if tensors else values, said))
    place = whole.index(b'"sha256":"' + b"0" * 64) + len('"sha256":"')
    whole[place : place + 64] = hashlib.sha256(whole).hexdigest().encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bytes(whole))


def _pictures(root: Path) -> None:
    save_images(root / "images", 8)
    save_images(root / "two", 2)
    save_images(root / "many", 19)
    save_images(root / "one", 1)
    save_images(root / "colour", 2, colour=True)
    save_images(root / "large", 2, size=(32, 32))
    save_images(root / "wide", 2, size=(16, 24))
    save_images(root / "nested" / "sub", 2)
    for name in (
        "empty",
        "texts",
        "formats",
        "pages",
        "broken",
        "depth",
        "hidden",
        "same",
        "moving",
        "huge",
        "lying",
    ):
        (root / name).mkdir()
    (root / "texts" / "notes.txt").write_text("no pictures here")
    Image.new("L", (16, 16), 9).save(root / "photo.png")
    (root / "formats" / "a.psd").write_bytes(b"8BPS")
    Image.new("L", (16, 16)).save(
        root / "pages" / "a.tiff", save_all=True, append_images=[Image.new("L", (16, 16), 9)]
    )
    Image.new("RGB", (16, 16)).save(
        root / "moving" / "a.gif",
        save_all=True,
        append_images=[Image.new("RGB", (16, 16), (9, 9, 9))],
    )
    whole = (root / "two" / "00.png").read_bytes()
    (root / "broken" / "a.png").write_bytes(whole[: len(whole) // 2])
    (root / "half").mkdir()
    (root / "half" / "a.png").write_bytes(whole)
    (root / "half" / "b.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.full((16, 16), 700, np.uint16)).save(root / "depth" / "a.png")
    save_images(root / "hidden" / ".ipynb_checkpoints", 2)
    Image.new("L", (16, 16)).save(root / "same" / "a.png")
    Image.new("L", (16, 16)).save(root / "same" / "a.bmp")
    (root / "same" / "sub").mkdir()
    Image.new("L", (16, 16)).save(root / "same" / "sub" / "b.png")
    Image.new("L", (16, 16)).save(root / "same" / "sub-b.png")
    np.save(root / "lying" / "a.npy", np.zeros((16, 16), np.float32))
    (root / "lying" / "a.npy").rename(root / "lying" / "a.png")
    _claims(root / "huge" / "a.png", 60_000, 60_000)


def _claims(path: Path, width: int, height: int) -> None:
    """A picture whose header says that it is that large."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def _arrays(root: Path) -> None:
    one = np.zeros((2, 1, 16, 16), np.float32)
    np.save(root / "good.npy", one + 0.5)
    for name, values in {
        "nan": np.full_like(one, np.nan),
        "inf": np.where(np.arange(16) == 3, np.inf, one).astype(np.float32),
        "complex": one.astype(np.complex64),
        "texts": np.array(["a", "b"]),
        "none": one[:0],
        "scalar": np.float32(3.0),
        "small": one[..., :8],
        "channels": np.zeros((2, 3, 16, 16), np.float32),
        "outside": one + 7.0,
        "bytes": np.full((2, 1, 16, 16), 200.0, np.float32),
        "int64": one.astype(np.int64),
        "bool": one.astype(bool),
        "flat": np.zeros((2, 256), np.float32),
    }.items():
        np.save(root / f"{name}.npy", values)
    np.save(root / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(root / "several.npz", a=one, b=one)
    np.savez(root / "nothing.npz")
    (root / "half.npy").write_bytes((root / "good.npy").read_bytes()[:600])
    (root / "text.npy").write_text("0.5 0.5")
    np.savez(root / "half_archive.npz", a=one)
    (root / "half_archive.npz").write_bytes((root / "half_archive.npz").read_bytes()[:300])
    (root / "nan_folder").mkdir()
    np.save(root / "nan_folder" / "00.npy", one[0] * np.nan)


def _masks(root: Path) -> None:
    half = np.zeros((16, 16), np.uint8)
    half[:, :8] = 255
    Image.fromarray(half).save(root / "mask.png")
    Image.fromarray(half * 0).save(root / "mask_nothing.png")
    Image.fromarray(half * 0 + 255).save(root / "mask_all.png")
    Image.fromarray(np.linspace(0, 255, 256).reshape(16, 16).astype(np.uint8)).save(
        root / "mask_grey.png"
    )
    Image.fromarray(half[:8, :8]).save(root / "mask_small.png")
    Image.fromarray(np.stack([half, half // 2, half * 0], -1)).save(root / "mask_colour.png")
    np.save(root / "mask_nan.npy", np.full((16, 16), np.nan, np.float32))
    np.save(root / "mask_shape.npy", np.zeros((3, 4, 16, 16), np.float32))
    np.save(root / "mask_half.npy", np.full((16, 16), 0.5, np.float32))
    (root / "mask_broken.png").write_bytes((root / "mask.png").read_bytes()[:40])
    (root / "masks_other").mkdir()
    Image.fromarray(half).save(root / "masks_other" / "elsewhere.png")
    (root / "masks_nothing").mkdir()
    Image.fromarray(half * 0).save(root / "masks_nothing" / "a.png")
    (root / "masks_empty").mkdir()


def _slices(root: Path) -> None:
    def series(
        name: str,
        count: int = 3,
        side: int = 16,
        edits: Callable[[int], dict] = lambda k: {},
        first: int = 0,
    ) -> Path:
        folder = root / name
        folder.mkdir(exist_ok=True)
        for k in range(count):
            tags = {"place": float(k), **edits(k)}
            write_dicom(folder / f"{first + k}.dcm", stack(1, side, side, seed=k)[0] + 1024, **tags)
        return folder

    series("ct")
    series("ct_large", side=32)
    series("ct_no_unit", edits=lambda k: {"slope": None})
    series("ct_other_unit", edits=lambda k: {"RescaleType": "US"})
    series("ct_no_place", edits=lambda k: {"ImagePositionPatient": None} if k == 1 else {})
    series(
        "ct_turned",
        edits=lambda k: {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]} if k == 1 else {},
    )
    series("ct_spacing", edits=lambda k: {"PixelSpacing": [0.5, 1.0]})
    series(
        "ct_localizer",
        edits=lambda k: {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]} if k == 0 else {},
    )
    series("ct_two", edits=lambda k: {"series": "1.2.3"})
    series("ct_two", edits=lambda k: {"series": "1.2.4"}, first=10)
    series("ct_mr", edits=lambda k: {"Modality": "MR"})
    series("ct_foreign")
    (root / "ct_foreign" / "broken.dcm").write_bytes((root / "ct" / "0.dcm").read_bytes()[:400])
    np.save(root / "hu.npy", stack(3, 16, 16))
    np.save(root / "stored.npy", (stack(3, 16, 16).astype(np.int32) % 255).astype(np.float32))


def _runs(root: Path) -> None:
    short = ["--steps", "2", "--batch_size", "2", "--validation_share", "0"]
    common = ["--prior", str(root / "tiny.safetensors"), "--images", str(root / "images"), *short]
    assert main(["train", *common, *PROBLEM, "--out", str(root / "run")]) == 0
    wide = ["--problem", "SuperResolution", "--problem.factor", "2", "--problem.sigma_y", "0.05"]
    assert main(["train", *common, *wide, "--out", str(root / "super")]) == 0
    ranged = [
        "--problem",
        "Inpainting",
        "--problem.masks",
        "box",
        "--problem.sigma_y",
        "[0.02,0.1]",
    ]
    assert main(["train", *common, *ranged, "--out", str(root / "ranged")]) == 0
    views = ["--problem", "Tomography", "--problem.views", "8", "--problem.window", "[-1000,1500]"]
    ct = ["--prior", str(root / "tiny.safetensors"), "--images", str(root / "ct"), *short]
    assert main(["train", *ct, *views, "--out", str(root / "views")]) == 0
    assert (
        main(
            [
                "sample",
                "--h",
                str(root / "run"),
                "--images",
                str(root / "two"),
                "--out",
                str(root / "drawn"),
                "--samples",
                "1",
                "--steps",
                "2",
            ]
        )
        == 0
    )
    calibrated = ["--samples", "2", "--steps", "2", "--level", "0.8"]
    given = ["--h", str(root / "run"), "--images", str(root / "images"), *calibrated]
    assert main(["conformal", *given, "--out", str(root / "calibrated")]) == 0
    (root / "unfinished").mkdir()
    for name in ("config.yaml", "metrics.jsonl"):
        shutil.copy(root / "run" / name, root / "unfinished" / name)


def _cards(root: Path) -> None:
    h, made = root / "run" / "h.safetensors", root / "cards"

    def architecture(**changes: object) -> Callable[[dict], None]:
        def change(card: dict) -> None:
            place = card["architecture"]
            place.setdefault("args", {}).update(
                changes
            ) if "class" not in changes else place.update(changes)

        return change

    def problem(**changes: object) -> Callable[[dict], None]:
        return lambda card: (
            card["problem"].update(changes)
            if "class" in changes
            else card["problem"]["args"].update(changes)
        )

    flip(h, made / "flipped.safetensors", 0.8)
    flip(h, made / "flipped_card.safetensors", 0.01)
    edit(h, made / "class.safetensors", architecture(**{"class": "evil.H"}))
    edit(h, made / "wide.safetensors", architecture(channels=[200_000, 200_000]))
    edit(h, made / "negative.safetensors", architecture(channels=[-5]))
    edit(h, made / "list.safetensors", lambda card: [card])
    edit(h, made / "nested.safetensors", lambda card: "[" * 50_000 + "]" * 50_000)
    edit(
        h,
        made / "level.safetensors",
        lambda card: json.dumps(card).replace('"sigma_y": 0.05', '"sigma_y": 1' + "0" * 4000),
    )
    edit(
        h,
        made / "physics.safetensors",
        problem(**{"class": "Deepinv", "args": {"physics": "http.server.test", "sigma_y": 0.05}}),
    )
    edit(h, made / "problem.safetensors", problem(**{"class": "os.system"}))
    edit(h, made / "field.safetensors", lambda card: card.pop("architecture") and None)
    edit(
        h,
        made / "nan.safetensors",
        tensors=lambda values: {
            k: v * torch.nan if v.is_floating_point() else v for k, v in values.items()
        },
    )
    edit(h, made / "missing.safetensors", tensors=lambda values: dict(list(values.items())[1:]))
    edit(
        h,
        made / "shapes.safetensors",
        tensors=lambda values: {
            k: v[..., :1].contiguous() if v.ndim else v for k, v in values.items()
        },
    )
    edit(h, made / "elsewhere.safetensors", lambda card: card.update(prior_from="someone/x"))
    edit(h, made / "api.safetensors", lambda card: card.update(prior_from="http://127.0.0.1:9"))
    edit(h, made / "text.safetensors", lambda card: "no card")
    for name, said in (("details", {"details": {"num_heads": -3}}), ("subfolder", {})):
        said = said or {"subfolder": "unet_ema"}
        edit(h, made / f"{name}.safetensors", lambda card, s=said: card.update(prior_options=s))
    edit(
        h,
        made / "context.safetensors",
        tensors=lambda held: {**held, "prior_context.class_labels": torch.zeros(1).long()},
    )
    reference = {"images": -3, "samples": [1], "levels": [], "sampler": {}, "values": [[[0.0]]]}
    edit(h, made / "alarm.safetensors", lambda card: card.update(alarm=reference))


def _configurations(root: Path) -> None:
    folder = root / "yaml"
    folder.mkdir()
    for name, text in {
        "tabs": "steps: 2\n\tbatch_size: 3\n",
        "list": "- steps\n- 2\n",
        "empty": "",
        "value": "steps",
        "twice": "steps: 2\nsteps: 3\n",
        "unknown": "stepz: 2\n",
        "type": "steps: [1, 2]\n",
        "quote": 'title: "open\n',
        "anchor": "steps: *missing\n",
        "tag": "steps: !!python/object/apply:os.system ['true']\n",
        "nan": "learning_rate: .nan\n",
        "class": "problem: {class_path: Inpaintign}\n",
        "argument": "problem: {class_path: Inpainting, init_args: {mask: box}}\n",
        "deep": "steps: " + "[" * 3000 + "]" * 3000 + "\n",
        "method": "methods: {A: {class_path: DPSS}}\n",
        "methods_empty": "methods: {}\n",
        "methods_list": "methods: [DPS]\n",
        "checkpoint": "methods: {A: {class_path: deft.commands.methods.DEFT, init_args: "
        f"{{checkpoint: {root / 'nowhere'}}}}}}}\n",
    }.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    few = {"class_path": "DDIM", "init_args": {"steps": 2}}
    methods = {
        "Prior": {"class_path": "Unconditional", "init_args": {"sampler": few}},
        "DPS": {"class_path": "DPS", "init_args": {"steps": 2}},
    }
    (folder / "evaluate.yaml").write_text(yaml.safe_dump({"methods": methods}, sort_keys=False))


def _diffusers(root: Path) -> None:
    diffusers = __import__("diffusers")
    from tests.priors import diffusers_tiny as tiny
    from tests.priors.test_diffusers import betas, unet

    whole = root / "diffusers"
    diffusers.DDPMPipeline(unet(sample_size=16), betas()).save_pretrained(whole)

    def copied(name: str) -> Path:
        shutil.copytree(whole, root / name)
        return root / name

    def config(name: str, part: str, **changes: object) -> None:
        file = copied(name) / part
        content = json.loads(file.read_text())
        content.update(changes)
        file.write_text(
            json.dumps({key: value for key, value in content.items() if value != "left out"})
        )

    scheduler, network = "scheduler/scheduler_config.json", "unet/config.json"
    config("d_flow", scheduler, _class_name="FlowMatchEulerDiscreteScheduler")
    config("d_edm", scheduler, _class_name="EDMEulerScheduler")
    config("d_unknown", scheduler, _class_name="MyScheduler")
    config("d_schedule", scheduler, beta_schedule="my_schedule")
    config("d_prediction", scheduler, prediction_type="velocity")
    config("d_betas", scheduler, beta_end=7.0)
    config("d_nan", scheduler, beta_end=float("nan"))
    config("d_size", network, sample_size=15)
    config("d_text", network, layers_per_block="two")
    config("d_class", network, _class_name="PixArtTransformer2DModel")
    config("d_embedding", network, class_embed_type="timestep")
    (copied("d_json") / network).write_text("{")
    (copied("d_cut") / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 20)
    shutil.rmtree(copied("d_alone") / "scheduler")
    (copied("d_weights") / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    latent = copied("d_latent")
    shutil.copytree(latent / "unet", latent / "vqvae")
    ema = copied("d_ema")
    shutil.copytree(ema / "unet", ema / "unet_ema")
    half = copied("d_half") / "unet" / "diffusion_pytorch_model.safetensors"
    values = load_file(half)
    save_file(
        {
            name: value * torch.nan if k == 0 else value
            for k, (name, value) in enumerate(values.items())
        },
        half,
        {"format": "pt"},
    )
    missing = copied("d_missing") / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(dict(list(values.items())[1:]), missing, {"format": "pt"})
    extra = copied("d_extra") / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**values, "more.weight": torch.zeros(2)}, extra, {"format": "pt"})
    prompted = tiny.conditioned(in_channels=1, out_channels=1, sample_size=16)
    tiny.saved(root / "d_prompt", prompted, betas())
    for name, shape in (("context", (1, 5, 12)), ("context_width", (1, 5, 11))):
        save_file({"encoder_hidden_states": torch.zeros(shape)}, root / f"{name}.safetensors")
    (root / "context_cut.safetensors").write_bytes(b"0" * 20)
    classes = root / "d_classes"
    unet(sample_size=16, num_class_embeds=3).save_pretrained(classes / "unet")
    betas().save_pretrained(classes / "scheduler")


def _foreign(root: Path) -> None:
    """Checkpoints of guided-diffusion and of others."""
    from tests.priors.test_adm import network, saved
    from tests.storage.test_weights_only import Evil

    whole = saved(root / "adm.pt", network())
    weights = torch.load(whole, weights_only=True)
    torch.save({k: v for k, v in weights.items() if "out_layers.0" not in k}, root / "adm_less.pt")
    torch.save({**weights, "more.weight": torch.zeros(3, 2)}, root / "adm_more.pt")
    torch.save(
        {k: v for k, v in weights.items() if not k.startswith("output")}, root / "adm_classes.pt"
    )
    time = {"time_embed.0.weight": torch.zeros(256, 64)}
    torch.save({**weights, **time}, root / "adm_512.pt")
    (root / "adm_cut.pt").write_bytes(whole.read_bytes()[:20_000])
    torch.save({"a": Evil(root / "executed")}, root / "evil.pt")
    (root / "edm.pkl").write_bytes(pickle.dumps({"ema": "torch_utils.persistence"}))
    torch.save({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(2)}, root / "sd.ckpt")
    (root / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (root / "other.config.json").write_text(json.dumps({"num_channels": 64}))
    _genie(root / "genie")


def _genie(folder: Path) -> None:
    """Checkpoints of Genie, without a configuration that is found by itself."""
    golden = Path(__file__).parents[1] / "golden"
    weights, said = (golden / f"genie_tiny.{kind}" for kind in ("safetensors", "configuration"))
    tensors = load_file(weights)
    folder.mkdir()
    torch.save({"state_dict": tensors, "epoch": 1}, folder / "w.ckpt")
    last = "model.structure_net.net.1.bb_update.linear.bias"
    torch.save({k: v for k, v in tensors.items() if k != last}, folder / "less.ckpt")
    motif = "model.pair_feature_net.linear_motif_template.weight"
    torch.save({**tensors, motif: torch.zeros(2)}, folder / "2.ckpt")
    (folder / "cut.ckpt").write_bytes((folder / "w.ckpt").read_bytes()[:20_000])
    (folder / "said").write_text(said.read_text())
    (folder / "other").write_text(said.read_text().replace("ipaNumHeads 3", "ipaNumHeads 4"))


def _others(root: Path) -> None:
    protein_world.build(root / "protein")
    (root / "file").write_text("a file")
    (root / "results").mkdir()
    (root / "results" / "results.json").write_text("{")
