"""A study on a base of another architecture: Stable Diffusion XL, whose text encoder is two networks."""

import copy

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from advunlearn_lib.base.store import Store
from advunlearn_lib.diffusion.sdxl import LatentDiffusionXL
from advunlearn_lib.experiment import erasure_spec
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.pocket import POCKET


def text_config(tokenizer, width, **more):
    """A CLIP text tower of two layers in this tokenizer's vocabulary."""
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=tokenizer.model_max_length, hidden_size=width,
        intermediate_size=2 * width, num_attention_heads=2, num_hidden_layers=2, **ends, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sdxl(model, tmp_path_factory):
    """The folder of a tiny SDXL pipeline with random weights."""
    torch.manual_seed(0)
    pocket = model.pipeline
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, attention_head_dim=4,
        layers_per_block=1, cross_attention_dim=16 + 24, addition_embed_type="text_time",
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=24 + 6 * 8,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sdxl")
    StableDiffusionXLPipeline(
        vae=pocket.vae, unet=unet, scheduler=pocket.scheduler,
        tokenizer=pocket.tokenizer, tokenizer_2=copy.deepcopy(pocket.tokenizer),
        text_encoder=CLIPTextModel(text_config(pocket.tokenizer, 16)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(pocket.tokenizer, 24, projection_dim=24)),
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.mark.parametrize("component", ["Text Encoder", "UNet"])
def test_an_sdxl_model_is_trained_once_and_loaded_back(sdxl, component, tmp_path, monkeypatch):
    profile = POCKET.model_copy(update={"base": str(sdxl), "scale": 0.02})
    row = Row("Church", "ESD", component) if component == "UNet" else Row("nudity", "ESD", component)
    first = Study(profile, Store(tmp_path))
    made, base = first.model(row), first.base()
    assert isinstance(made, LatentDiffusionXL) and [*tmp_path.glob("erase-*")] == [
        first.store.folder("erase", first.protocol.model(row).recipe)
    ]

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(erasure_spec, "train", never)
    back = Study(profile, Store(tmp_path)).model(row)
    ids = base.tokenize(["a photo of a church", "weapon"])
    with torch.no_grad():
        embeds = {name: one.encode(ids) for name, one in (("base", base), ("made", made), ("back", back))}
        noise = [
            one.predict_noise(base.noise([1, 2]), torch.tensor(500), embeds["base"]) for one in (made, back)
        ]
    assert torch.equal(embeds["made"], embeds["back"]) and torch.equal(*noise)
    trained, kept = ("unet", "text_encoder") if component == "UNet" else ("text_encoder", "unet")
    changed, other = (
        [
            not torch.equal(old, new)
            for old, new in zip(getattr(base, part).parameters(), getattr(back, part).parameters())
        ]
        for part in (trained, kept)
    )
    assert any(changed) and not any(other)
