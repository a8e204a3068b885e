"""Stable Diffusion 2.x (v-prediction) and XL (two text encoders): tiny random pipelines of those classes."""

import copy
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from advunlearn_lib.api import erase
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.diffusion.weights import load_part, save_part

WORDS = ["a photo of a church", "church"]
UNET = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "attention_head_dim": 4,
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}


def text_config(tokenizer, width, **more):
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    sizes = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
    }
    return CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=tokenizer.model_max_length, **sizes, **ends, **more
    )


@pytest.fixture(scope="module")
def folders(model, tmp_path_factory):
    """Snapshots of an SD 2.x and an SDXL pipeline, as the hub lays them out."""
    torch.manual_seed(0)
    root, pocket = tmp_path_factory.mktemp("tiny"), model.pipeline
    other = copy.deepcopy(pocket.tokenizer)
    other.pad_token = other.convert_ids_to_tokens(427)  # a token of no word used here
    shared = {"vae": pocket.vae, "tokenizer": pocket.tokenizer}
    StableDiffusionPipeline(
        **shared,
        text_encoder=CLIPTextModel(text_config(pocket.tokenizer, 32, hidden_act="gelu")),
        unet=UNet2DConditionModel(cross_attention_dim=32, use_linear_projection=True, **UNET),
        scheduler=DDIMScheduler.from_config(pocket.scheduler.config, prediction_type="v_prediction"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(root / "sd2")  # fmt: skip
    StableDiffusionXLPipeline(
        **shared,
        tokenizer_2=other,
        text_encoder=CLIPTextModel(text_config(pocket.tokenizer, 24)),
        text_encoder_2=CLIPTextModelWithProjection(
            text_config(other, 40, hidden_act="gelu", projection_dim=40)
        ),
        unet=UNet2DConditionModel(
            cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=40 + 6 * 8, **UNET,
        ),
        scheduler=pocket.scheduler,
    ).save_pretrained(root / "sdxl")  # fmt: skip
    return root


@pytest.fixture(scope="module", params=["sd2", "sdxl"])
def tiny(request, folders):
    return load_model(folders / request.param)


def test_v_predictions_become_noise_as_the_scheduler_reads_them(folders):
    tiny = load_model(folders / "sd2")
    latents, embeds = tiny.noise([0, 1]), tiny.encode_prompts(WORDS)
    theirs = DDIMScheduler.from_config(tiny.scheduler.config)
    ours = DDIMScheduler.from_config(tiny.scheduler.config, prediction_type="epsilon")
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(10)
    timestep = theirs.timesteps[3]
    with torch.no_grad():
        v = tiny.unet(latents, timestep, embeds).sample
        eps = tiny.predict_noise(latents, timestep, embeds)
    expected = theirs.step(v, timestep, latents).prev_sample
    assert torch.allclose(ours.step(eps, timestep, latents).prev_sample, expected, atol=1e-5)
    assert not torch.allclose(v, eps, atol=1e-2)


def test_xl_conditions_are_the_pipelines_own(folders):
    tiny = load_model(folders / "sdxl")
    embeds, _, pooled, _ = tiny.pipeline.encode_prompt(
        WORDS[0], device="cpu", do_classifier_free_guidance=True
    )
    ours, ours_pooled = tiny.split(tiny.encode_prompts(WORDS[:1]))
    assert torch.allclose(ours, embeds, atol=1e-5) and torch.allclose(ours_pooled, pooled, atol=1e-5)
    call = {"num_inference_steps": 2, "guidance_scale": 3.0, "latents": tiny.noise([7]), "output_type": "pt"}
    theirs = tiny.pipeline(WORDS[0], **call).images
    assert torch.allclose(tiny.generate(WORDS[:1], [7], Sampling("ddim", 2, 3.0)), theirs, atol=1e-4)


def test_a_prefix_moves_the_end_of_the_prompt(tiny):
    """Token embeddings of "photo" put before "church" encode as "photo church" does.

    So does the pooled embedding.
    """
    ids, wanted = tiny.tokenize(["church"]), tiny.tokenize(["photo church"])
    words = tiny.token_embeds(ids)
    photo = tiny.token_embeds(wanted[:, 1:2])
    padded = torch.cat([words[:, :1], photo, words[:, 1:]], 1)[:, : words.shape[1]]
    assert torch.allclose(tiny.encode(ids, padded), tiny.encode(wanted), atol=1e-5)


@pytest.mark.parametrize(("method", "component"), [
    ("advunlearn", "text_encoder"),
    ("esd", "unet"),
    pytest.param("advunlearn", "unet", marks=pytest.mark.slow),
    pytest.param("esd", "text_encoder", marks=pytest.mark.slow),
])  # fmt: skip
def test_erasing_changes_its_part_alone_and_the_loss_falls(tiny, method, component, tmp_path):
    own = {"advunlearn": {"attack_steps": 1, "retain_weight": 0.1, "retain_per_prompt": 1}, "esd": {}}[method]
    group = "full" if component == "text_encoder" else "noxattn"
    options = {
        "component": component,
        "group": group,
        "iterations": 12,
        "lr": 1e-3,
        "steps": 4,
        "per_prompt": 4,
    } | own
    erased = erase(tiny, WORDS, method, retain_set=["a photo of a dog"] * 4, **options)
    assert sum(erased.losses[-4:]) < sum(erased.losses[:4])
    other = {"text_encoder": "unet", "unet": "text_encoder"}[component]
    assert all(
        torch.equal(a, b)
        for a, b in zip(getattr(tiny, other).parameters(), getattr(erased.model, other).parameters())
    )
    changed = [
        not torch.equal(a, b)
        for a, b in zip(getattr(tiny, component).parameters(), getattr(erased.model, component).parameters())
    ]
    assert any(changed)
    erased.save_pretrained(tmp_path / "out")
    part, module = load_part(tmp_path / "out", tiny)
    assert part == component
    ours, theirs = getattr(erased.model, component).state_dict(), module.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    loaded, latents = tiny.with_parts(**{part: module}), tiny.noise([0])
    embeds = loaded.encode_prompts(WORDS[:1])
    assert torch.allclose(embeds, erased.model.encode_prompts(WORDS[:1]), atol=1e-5)
    assert torch.allclose(embeds, tiny.encode_prompts(WORDS[:1]), atol=1e-5) == (component == "unet")
    with torch.no_grad():
        noise = [m.predict_noise(latents, torch.tensor([300]), embeds) for m in (loaded, erased.model)]
    assert torch.allclose(*noise, atol=1e-5)


@pytest.mark.parametrize("name", ["sd2", "sdxl"])
def test_guidance_points_away_from_the_empty_prompt_of_the_encoder_that_is_asked_for(folders, name):
    tiny, seeds = load_model(folders / name), [7, 8]
    if name == "sdxl":  # its own is zeros, whoever encodes
        tiny.pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    other = tiny.copy_of("text_encoder")
    with torch.no_grad():
        for parameter in other.text_encoder.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    embeds, pictures = other.encode_prompts(WORDS), []
    for whose, encoder in (("own", other), ("original", tiny)):
        empty = encoder.encode_prompts([""]).expand_as(embeds)
        theirs = other.pipeline(
            **other.conditions(embeds, empty), latents=other.noise(seeds), num_inference_steps=2,
            guidance_scale=3.0, output_type="pt",
        ).images  # fmt: skip
        pictures.append(other.generate(WORDS, seeds, Sampling("ddim", 2, 3.0, whose)))
        assert torch.allclose(pictures[-1], theirs, atol=1e-4), whose
    assert not torch.allclose(*pictures, atol=1e-3)


def test_both_of_xls_text_encoders_must_fit(folders, tmp_path):
    tiny = load_model(folders / "sdxl")
    save_part(tiny.text_encoder, tmp_path)
    path = tmp_path / "text_encoder_2" / "model.safetensors"
    state = load_file(path)
    gone = "text_projection.weight"
    save_file({name: value for name, value in state.items() if name != gone}, path, {"format": "pt"})
    with pytest.raises(UserError, match=f"do not fit .*: 1 missing \\(text_encoder_2.{gone}\\)"):
        load_part(tmp_path, tiny, "text_encoder")
    shutil.rmtree(path.parent)
    with pytest.raises(UserError, match="cannot load a text encoder"):
        load_part(tmp_path, tiny, "text_encoder")


def test_unlearndiffatk_runs_and_its_gradient_is_alive(tiny):
    prompts = [EvaluationPrompt(text, seed) for seed, text in enumerate(WORDS)]
    budget = Budget(tokens=2, timesteps=2, steps=2)
    attack = ATTACKS["UnlearnDiffAtk"](
        tiny, lambda images: torch.zeros(len(images), dtype=torch.bool), budget, Sampling("ddim", 2, 5.0)
    )
    result = attack.run(prompts, torch.randn(2, *tiny.latent_shape()))
    assert result.flags == [] and all(r.adversarial.endswith(r.prompt) for r in result.prompts)


def test_other_pipelines_are_refused(folders):
    (folders / "other").mkdir()
    (folders / "other" / "model_index.json").write_text(
        '{"_class_name": "FluxPipeline", "_diffusers_version": "0.38.0"}'
    )
    with pytest.raises(UserError):
        load_model(folders / "other")
