"""Whole models in one file, as A1111 and ComfyUI have them: in, and out again."""

import copy
import re

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
from weight_files import original, same, weights

from advunlearn_lib.api import load_erased
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.random_weights import build_unet, build_vae
from advunlearn_lib.diffusion.single_file import save_single_file, unet_state, vae_state
from advunlearn_lib.profiles.pocket import POCKET

XL = {
    "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip


def test_a_base_in_half_precision_alone_loads(model, tmp_path):
    pipeline = copy.copy(model.pipeline)
    for name in ("unet", "text_encoder", "vae"):
        setattr(pipeline, name, copy.deepcopy(getattr(pipeline, name)).half())
    pipeline.save_pretrained(tmp_path, variant="fp16")
    loaded = load_model(tmp_path)
    assert loaded.unet.dtype == torch.float32
    for name in ("unet", "text_encoder", "vae"):
        half = {key: w.half().float() for key, w in weights(getattr(model.pipeline, name)).items()}
        assert same(getattr(loaded.pipeline, name), half)


def cached(pipeline, hub, repository):
    """The hub's cache with the configuration of ``pipeline``, without weights, as diffusers fetches it."""
    snapshot = hub / f"models--{repository.replace('/', '--')}" / "snapshots" / "0123"
    pipeline.save_pretrained(snapshot)
    for file in snapshot.rglob("*.safetensors"):
        file.unlink()
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub's."""
    for place in (
        "huggingface_hub.constants",
        "huggingface_hub.file_download",
        "huggingface_hub._snapshot_download",
    ):
        monkeypatch.setattr(f"{place}.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    return tmp_path / "hub"


V1, BASE_XL = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-xl-base-1.0"


@pytest.fixture(scope="module")
def tiny_xl(model):
    """An SDXL pipeline as small as diffusers still takes for one: ten layers of the second text encoder."""
    torch.manual_seed(0)
    tokenizer = model.tokenizer
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    sizes = ends | {"vocab_size": len(tokenizer), "max_position_embeddings": 32, "num_attention_heads": 2}
    first = CLIPTextConfig(hidden_size=24, intermediate_size=48, num_hidden_layers=2, **sizes)
    second = CLIPTextConfig(
        hidden_size=40,
        intermediate_size=80,
        num_hidden_layers=10,
        projection_dim=40,
        hidden_act="gelu",
        **sizes,
    )
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, attention_head_dim=4,
        layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=40 + 6 * 8, use_linear_projection=True,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=build_small_vae(model), tokenizer=tokenizer, tokenizer_2=tokenizer,
        scheduler=model.scheduler, unet=unet,
        text_encoder=CLIPTextModel(first), text_encoder_2=CLIPTextModelWithProjection(second),
    )  # fmt: skip


def build_small_vae(model):
    """The pocket VAE with the attention that Stable Diffusion's has."""
    torch.manual_seed(0)
    return type(model.pipeline.vae).from_config(
        dict(model.pipeline.vae.config) | {"mid_block_add_attention": True}
    )


@pytest.fixture(params=["v1", "xl"])
def whole(request, model, tiny_xl, tmp_path):
    """A model, and the hub's name of the configuration that diffusers takes for its file."""
    if request.param == "v1":
        return model, V1
    tiny_xl.save_pretrained(tmp_path / "xl")
    return load_model(tmp_path / "xl"), BASE_XL


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_a_single_file_comes_back_bit_for_bit(whole, hub, tmp_path, suffix):
    """diffusers' converters against our names; the suffix of torch's files, as training leaves them."""
    written, repository = whole
    path = tmp_path / "model.safetensors"
    save_single_file(written, path)
    if suffix == "ckpt":
        torch.save({"state_dict": load_file(path), "global_step": 1}, path := tmp_path / "model.ckpt")
    cached(written.pipeline, hub, repository)
    loaded = load_model(path)
    assert type(loaded) is type(written) and loaded.name == str(path)
    for name, part in written.pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            assert same(getattr(loaded.pipeline, name), weights(part)), name


def test_without_its_configuration_a_single_file_says_how_to_convert_it(model, hub, tmp_path):
    path = tmp_path / "model.safetensors"
    save_single_file(model, path)
    with pytest.raises(UserError) as error:
        load_model(path)
    line = str(error.value)
    assert f"{V1}' is not in the local cache" in line and "\n" not in line
    command = re.search(r'python -c "(.*?)"', line)[1].replace("FOLDER", str(tmp_path / "like"))
    model.pipeline.save_pretrained(tmp_path / "like")
    exec(command.replace("OUT", str(tmp_path / "converted")), {})
    assert same(load_model(tmp_path / "converted").unet, weights(model.unet))


BASES = {
    "a UNet": (lambda m, t: weights(m.unet), r"no whole Stable Diffusion model.* goes with --checkpoint"),
    "no VAE": (lambda m, t: unet_state(m.unet), "it has no first_stage_model"),
    "SD 2.x": (
        lambda m, t: (
            original(m, t)
            | {
                "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": torch.ones(
                    1, 1024
                )
            }
        ),
        "does not say whether its UNet predicts noise or v: convert it by python -c .*from_single_file",
    ),
    "inpainting": (
        lambda m, t: (
            original(m, t) | {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1, 9, 3, 3)}
        ),
        r"unknown kind of single file 'inpainting' \(allowed: v1, xl_base\)",
    ),
    "less": (
        lambda m, t: {k: v for k, v in original(m, t).items() if "input_blocks.0.0.bias" not in k},
        f"given.safetensors' lacks weights that '{V1}' has",
    ),
}


@pytest.mark.parametrize("name", BASES)
def test_other_single_files_are_refused_in_one_line(model, hub, tmp_path, name):
    make, message = BASES[name]
    cached(model.pipeline, hub, V1)
    save_file(make(model, tmp_path), tmp_path / "given.safetensors")
    with pytest.raises(UserError, match=message) as error:
        load_model(tmp_path / "given.safetensors")
    assert "\n" not in str(error.value)


# -- out again ---------------------------------------------------------------------------------------------


def test_stable_diffusions_own_names_are_those_that_diffusers_reads():
    """At full size, without values: 686 and 1680 tensors of the UNets, 248 of the VAE."""
    with init_empty_weights():
        v1, xl, vae = build_unet(), UNet2DConditionModel(**XL), build_vae()
    pairs = [(m, unet_state(m), convert_ldm_unet_checkpoint) for m in (v1, xl)]
    for module, state, convert in [*pairs, (vae, vae_state(vae), convert_ldm_vae_checkpoint)]:
        back, own = convert(state, module.config), module.state_dict()
        assert {name: w.shape for name, w in back.items()} == {name: w.shape for name, w in own.items()}
    published = ("output_blocks.5.2.conv.weight", "input_blocks.3.0.op.bias", "middle_block.1.proj_in.weight")
    assert {f"model.diffusion_model.{name}" for name in published} < unet_state(v1).keys()


def test_a_single_file_that_cannot_be_is_refused_before_it_is_written(model, tmp_path):
    with pytest.raises(UserError, match=r"ends in \.safetensors, not .*model\.ckpt"):
        save_single_file(model, tmp_path / "model.ckpt")
    scheduler = type(model.scheduler).from_config(model.scheduler.config, prediction_type="v_prediction")
    parts = dict(model.pipeline.components) | {"scheduler": scheduler}
    second = type(model)(StableDiffusionPipeline(**parts, requires_safety_checker=False))
    with pytest.raises(UserError, match=r"of Stable Diffusion 1\.x and XL alone"):
        save_single_file(second, tmp_path / "model.safetensors")
    assert not [*tmp_path.iterdir()]


def test_erase_writes_a_single_file_besides(model, hub, tmp_path):
    (tmp_path / "retain.txt").write_text("a dog\na cat\na train\na chair")
    files = [f"--retain={tmp_path}/retain.txt", f"--out={tmp_path}/out", f"--base={POCKET.base}"]
    tiny = [f"--option={option}" for option in ("iterations=1", "per_prompt=1", "steps=2")]
    concept = ["--concept=church", "--kind=object", "--method=esd", "--format=single-file"]
    assert main(["erase", *concept, *files, *tiny]) == 0
    part = load_erased(tmp_path / "out", model).model.unet
    cached(model.pipeline, hub, V1)
    loaded = load_model(tmp_path / "out" / "single-file.safetensors")
    assert same(loaded.unet, weights(part)) and not same(model.unet, weights(part))
    assert same(loaded.text_encoder, weights(model.text_encoder))
