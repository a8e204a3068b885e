"""What people bring: each format loads, with these very weights, or is refused by name with the way out."""

import copy
import json
import re

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from advunlearn_lib.api import load_erased
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.random_weights import build_unet, build_vae
from advunlearn_lib.diffusion.single_file import save_single_file, unet_state, vae_state
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.profiles.pocket import POCKET

BLOCK = "down_blocks.1.attentions.0"
LAYERS = (
    f"{BLOCK}.transformer_blocks.0.attn1.to_out.0",
    f"{BLOCK}.transformer_blocks.0.attn2.to_k",
    f"{BLOCK}.transformer_blocks.0.ff.net.0.proj",
    f"{BLOCK}.proj_in",
    "mid_block.resnets.1.conv1",
)
ALPHA, RANK = 1.0, 2
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": list(LAYERS)}
XL = {
    "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip


def scaled(module):
    """A copy with all weights half as large again."""
    other = copy.deepcopy(module)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.5)
    return other


@pytest.fixture(scope="module")
def other(model):
    """The pocket model with another UNet."""
    return model.with_parts(unet=scaled(model.unet))


def weights(module):
    return {name: weight.contiguous() for name, weight in module.state_dict().items()}


def same(module, state):
    own = module.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in own)


def original(model, tmp_path):
    """A whole model's state dict under Stable Diffusion's names."""
    save_single_file(model, tmp_path / "whole.safetensors")
    return load_file(tmp_path / "whole.safetensors")


def some(state, *wanted):
    return {name: weight for name, weight in state.items() if any(word in name for word in wanted)}


# -- a UNet's weights, that of `other` whole or in part ----------------------------------------------------

UNETS = {
    "state_dict beside an optimizer": lambda u, f: {"state_dict": u, "optimizer": {"lr": 1e-5}, "epoch": 3},
    "unet": lambda u, f: {"unet": u},
    "model beside a step": lambda u, f: {"model": u, "step": 7},
    "CompVis' names": lambda u, f: unet_state(f.unet),
    "CompVis' names without a prefix": lambda u, f: {
        name.removeprefix("model.diffusion_model."): weight for name, weight in unet_state(f.unet).items()
    },
}


@pytest.mark.parametrize("name", UNETS)
def test_a_whole_unet_loads(model, other, tmp_path, name):
    torch.save(UNETS[name](weights(other.unet), other), tmp_path / "unet.pt")
    part, loaded = load_part(tmp_path / "unet.pt", model)
    assert part == "unet" and same(loaded, weights(other.unet))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_other_precisions_are_read_into_fp32(model, other, tmp_path, dtype):
    rounded = {name: weight.to(dtype) for name, weight in weights(other.unet).items()}
    save_file(rounded, tmp_path / "unet.safetensors")
    _, loaded = load_part(tmp_path / "unet.safetensors", model)
    assert same(loaded, {name: weight.float() for name, weight in rounded.items()})


@pytest.mark.parametrize(("names", "words"), [
    ("diffusers", ("attn2.to_k.weight", "attn2.to_v.weight")),  # UCE
    ("diffusers", ("attn2.",)),  # ESD-x since 2025
    ("diffusers", (".proj", ".conv", "linear_", "to_", ".net.")),  # ESD-all: no norms
    ("CompVis", ("attn2.",)),
])  # fmt: skip
def test_a_part_of_a_unet_stands_on_the_base(model, other, tmp_path, capsys, names, words):
    trained, own = some(weights(other.unet), *words), weights(model.unet)
    save_file(
        trained if names == "diffusers" else some(unet_state(other.unet), *words), tmp_path / "a.safetensors"
    )
    part, loaded = load_part(tmp_path / "a.safetensors", model)
    assert part == "unet" and same(loaded, own | trained) and 0 < len(trained) < len(own)
    said = (
        f"{len(trained)} of the UNet's {len(own)} tensors; the other {len(own) - len(trained)} are the base's"
    )
    assert capsys.readouterr().err == f"{tmp_path / 'a.safetensors'}: {said}\n"


@pytest.mark.parametrize("changed", ["unet", "text_encoder"])
def test_of_a_whole_model_the_part_that_differs_is_taken(model, tmp_path, changed):
    """ESD's of 2023 hold the base's text encoder too; ours may hold the base's UNet."""
    erased = model.with_parts(**{changed: scaled(getattr(model, changed))})
    torch.save({"state_dict": original(erased, tmp_path) | {"betas": torch.ones(3)}}, tmp_path / "esd.pt")
    part, loaded = load_part(tmp_path / "esd.pt", model)
    assert part == changed and same(loaded, weights(getattr(erased, changed)))


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_folder_in_half_precision_alone_loads(model, tmp_path, part):
    copy.deepcopy(getattr(model, part)).half().save_pretrained(tmp_path / "half", variant="fp16")
    assert [*tmp_path.glob("half/*.fp16.safetensors")] and not [*tmp_path.glob("half/*model.safetensors")]
    found, loaded = load_part(tmp_path / "half", model)
    half = {name: weight.half().float() for name, weight in weights(getattr(model, part)).items()}
    assert found == part and same(loaded, half)


# -- adapters ----------------------------------------------------------------------------------------------


def low_rank(model):
    """(down, up) of each of LAYERS."""
    torch.manual_seed(1)
    made = {}
    for layer in LAYERS:
        rows, columns, *kernel = model.unet.get_submodule(layer).weight.shape
        made[layer] = torch.randn(RANK, columns, *kernel), torch.randn(rows, RANK, *(1 for _ in kernel))
    return made


def added(model, scale):
    """The UNet's weights with W + scale * up down."""
    state = weights(model.unet)
    for layer, (down, up) in low_rank(model).items():
        weight = state[f"{layer}.weight"]
        state[f"{layer}.weight"] = weight + scale * (up.flatten(1) @ down.flatten(1)).view_as(weight)
    return state


def adapter(model, naming):
    """The file's name, its tensors, the scale they are meant with."""
    pairs = low_rank(model).items()
    if naming == "kohya":
        plain = [(f"lora_unet_{layer.replace('.', '_')}", *pair) for layer, pair in pairs]
        downs = {f"{name}.lora_down.weight": down for name, down, _ in plain}
        ups = {f"{name}.lora_up.weight": up for name, _, up in plain}
        alphas = {f"{name}.alpha": torch.tensor(ALPHA) for name, *_ in plain}
        return "spm.safetensors", downs | ups | alphas, ALPHA / RANK
    prefix, scale = ("unet.", 1.0) if naming == "diffusers" else ("base_model.model.", ALPHA / RANK)
    downs = {f"{prefix}{layer}.lora_A.weight": down for layer, (down, _) in pairs}
    ups = {f"{prefix}{layer}.lora_B.weight": up for layer, (_, up) in pairs}
    file = {"peft": "adapter_model", "diffusers": "pytorch_lora_weights"}[naming]
    return f"{file}.safetensors", downs | ups, scale


@pytest.mark.parametrize(("naming", "given"), [
    ("kohya", "file"), ("diffusers", "file"), ("diffusers", "folder"), ("peft", "file"), ("peft", "folder"),
])  # fmt: skip
def test_an_adapter_is_merged_into_the_unet(model, tmp_path, naming, given):
    before, (file, state, scale) = weights(model.unet), adapter(model, naming)
    save_file(state, tmp_path / file, {"format": "pt"})
    if naming == "peft":
        told = CONFIG | {"megatron_config": {"a": 1}, "megatron_core": "no_module"}  # which peft would import
        (tmp_path / "adapter_config.json").write_text(json.dumps(told))
    part, loaded = load_part(tmp_path / file if given == "file" else tmp_path, model)
    expected, own = added(model, scale), loaded.state_dict()
    assert part == "unet" and own.keys() == expected.keys()
    for name in own:
        torch.testing.assert_close(own[name], expected[name], rtol=1e-5, atol=1e-5)
    assert same(model.unet, before) and not hasattr(loaded, "peft_config")


def test_the_strength_that_diffusers_writes_beside_the_tensors_counts(model, tmp_path):
    """What else stands there is not taken: peft would import the module that megatron_core names."""
    file, state, _ = adapter(model, "diffusers")
    told = CONFIG | {"megatron_config": {"a": 1}, "megatron_core": "no_module"}
    told = {f"unet.{name}": value for name, value in told.items()}
    save_file(state, tmp_path / file, {"format": "pt", "lora_adapter_metadata": json.dumps(told)})
    _, loaded = load_part(tmp_path / file, model)
    torch.testing.assert_close(weights(loaded), added(model, ALPHA / RANK), rtol=1e-5, atol=1e-5)


# -- refusals ----------------------------------------------------------------------------------------------


def cyclic():
    state = {}
    state["state_dict"] = state
    return state


def with_conv_in(model, change):
    return weights(model.unet) | {"conv_in.weight": change(weights(model.unet)["conv_in.weight"])}


def both(model, tmp_path):
    parts = {part: scaled(getattr(model, part)) for part in ("unet", "text_encoder")}
    return original(model.with_parts(**parts), tmp_path)


def of_text(model):
    """A kohya LoRA of one layer of the text encoder, of rank one, that adds 0.5 to each weight."""
    rows, columns = model.text_encoder.state_dict()["encoder.layers.0.mlp.fc1.weight"].shape
    layer = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    return {
        f"{layer}.lora_down.weight": torch.ones(1, columns),
        f"{layer}.lora_up.weight": torch.full((rows, 1), 0.5),
    }


REFUSED = {
    "empty": (lambda m, t: {}, "hold no tensor"),
    "no names": (lambda m, t: {0: torch.ones(1)}, r"not a state dict \(a mapping of names to tensors\)"),
    "cyclic": (lambda m, t: cyclic(), "not a state dict"),
    "two parts": (
        lambda m, t: {"unet": weights(m.unet), "text_encoder": weights(m.text_encoder)},
        r"several state dicts \(unet, text_encoder\); save one of them alone",
    ),
    "sparse": (lambda m, t: with_conv_in(m, torch.Tensor.to_sparse), "weight is sparse, .*allowed: dense"),
    "no values": (lambda m, t: with_conv_in(m, lambda w: w.to("meta")), "conv_in.weight is .*without values"),
    "integers": (lambda m, t: with_conv_in(m, torch.Tensor.int), r"weight is int32 \(allowed: dense"),
    "complex": (lambda m, t: with_conv_in(m, lambda w: w + 0j), "conv_in.weight is complex"),
    "foreign names": (
        lambda m, t: {f"transformer.{i}.weight": torch.ones(1) for i in range(9)},
        r"this unet: none of their 9 names \(transformer\.0\.weight, .*\) is one of its \d+ \(conv_in",
    ),
    "half a layer": (
        lambda m, t: {"conv_in.weight": weights(m.unet)["conv_in.weight"]},
        r"do not fit this unet: 1 missing \(conv_in\.bias\)",
    ),
    "a name more in CompVis' style": (
        lambda m, t: unet_state(m.unet) | {"model.diffusion_model.output_blocks.99.0.bias": torch.ones(1)},
        r"1 unexpected \(output_blocks\.99\.0\.bias\)",
    ),
    "another whole model": (both, "is a whole model, in which more than one part differs.*give it as --base"),
    "a whole XL": (
        lambda m, t: unet_state(m.unet) | {"conditioner.embedders.1.model.ln_final.bias": torch.ones(1)},
        r"is a whole model of Stable Diffusion 2\.x or XL: give it as --base",
    ),
    "the base itself": (original, "whole model, in which neither .* differs"),
    "textual inversion": (
        lambda m, t: {"<church>": torch.ones(m.embedding_table().shape[1])},
        r"textual inversion \(vectors of <church>\), no .*load_textual_inversion.*OUT as the base",
    ),
    "LoRA of text too": (
        lambda m, t: adapter(m, "kohya")[1] | of_text(m),
        "changes a text encoder too.*fuse_lora.*OUT as the base",
    ),
    "LoRA of another UNet": (
        lambda m, t: adapter(m, "diffusers")[1] | {
            f"unet.down_blocks.7.attentions.0.proj_in.lora_{way}.weight": torch.ones(2, 2) for way in "AB"
        },
        "changes 6 layers, of which the base has 5",
    ),
    "DoRA": (
        lambda m, t: adapter(m, "kohya")[1] | {"lora_unet_conv_in.dora_scale": torch.ones(1)},
        r"is a DoRA \(allowed: LoRA\)",
    ),
    "LoHa": (
        lambda m, t: {f"lora_unet_mid_block_resnets_1_conv1.hada_w1_{way}": torch.ones(2, 2) for way in "ab"},
        "cannot merge the adapter .*hada_w1_a",
    ),
    "peft without its configuration": (
        lambda m, t: adapter(m, "peft")[1], r"needs a readable adapter_config\.json, which peft saves",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_load_is_refused_in_one_line(model, tmp_path, name):
    make, message = REFUSED[name]
    torch.save(make(model, tmp_path), tmp_path / "given.pt")
    with pytest.raises(UserError, match=message) as error:
        load_part(tmp_path / "given.pt", model)
    assert "given.pt" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["textual inversion", "LoRA of text too"])
def test_the_way_out_that_a_refusal_names_leads_out(model, tmp_path, name):
    torch.save(REFUSED[name][0](model, tmp_path), tmp_path / "given.pt")
    with pytest.raises(UserError) as error:
        load_part(tmp_path / "given.pt", model)
    command = re.search(r'python -c "(.*?)" and give', str(error.value))[1]
    exec(command.replace("BASE", POCKET.base).replace("OUT", str(tmp_path / "out")), {})
    made = load_model(tmp_path / "out")
    if name == "textual inversion":
        token = made.tokenizer.convert_tokens_to_ids("<church>")
        assert token in made.tokenize(["a <church>"]) and (made.embedding_table()[token] == 1).all()
        return
    fc1 = "encoder.layers.0.mlp.fc1.weight"
    torch.testing.assert_close(weights(made.text_encoder)[fc1], weights(model.text_encoder)[fc1] + 0.5)
    torch.testing.assert_close(weights(made.unet), added(model, ALPHA / RANK), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("file", ["text.pt", "text.safetensors", "none.safetensors"])
def test_what_is_no_file_of_weights_is_refused(tmp_path, model, file):
    (tmp_path / file).write_text("hello") if file.startswith("text") else None
    with pytest.raises(
        UserError, match=f"cannot read the weights .*{file}': \\w+: ." if "text" in file else "neither"
    ):
        load_part(tmp_path / file, model)


# -- bases -------------------------------------------------------------------------------------------------


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
