"""Stage *unet*: the noise predictor, and the assembly of the pipeline folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.pocket import networks
from advunlearn_lib.pocket.common import PLANS, Folders, save_half, tokenize
from advunlearn_lib.pocket.loop import Loss, fit
from advunlearn_lib.pocket.train_vae import encode_latents
from advunlearn_lib.world.scenes import Dataset


def train_unet(data: Dataset, folders: Folders) -> None:
    """The pocket counterpart of SD v1.4's UNet."""
    torch.manual_seed(3)
    unet = networks.build_unet()
    loss = noise_prediction(
        unet, *frozen_inputs(data, folders, folders.work / "latents.safetensors"), PLANS["unet"].batch
    )
    fit("unet", {"unet": unet}, loss, PLANS["unet"], folders.work, folders.log)
    save_half(unet, folders.model / "unet")
    assemble(folders)


def noise_prediction(
    unet: UNet2DConditionModel,
    latents: torch.Tensor,
    embeddings: torch.Tensor,
    caption_index: torch.Tensor,
    batch: int,
) -> Loss:
    """MSE of the noise weighted by min(SNR, 5) / SNR (Hang et al. 2023), 10 % of captions dropped."""
    scheduler = noise_schedule()
    snr = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    weight = snr.clamp(max=5) / snr

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = torch.from_numpy(rng.choice(len(latents), batch, replace=False))
        which = torch.where(torch.rand(batch, generator=generator) < 0.1, 0, caption_index[index])
        clean = latents[index].float()
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (batch,), generator=generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)  # type: ignore[arg-type]
        error = (unet(noisy, timesteps, embeddings[which].float()).sample - noise).square().mean((1, 2, 3))
        return (weight[timesteps] * error).mean(), {"mse": error.mean().item()}

    return loss


def noise_schedule() -> DDIMScheduler:
    """SD v1.4's training noise: 1000 steps, scaled_linear betas 0.00085 .. 0.012."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.no_grad()
def frozen_inputs(
    data: Dataset, folders: Folders, path: Path
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scaled latents of all pictures (kept in ``path``), embeddings
    of all distinct captions ("" first), and each picture's caption.
    """
    captions = ["", *sorted({scene.caption for scene in data.scenes})]
    tokenizer = CLIPTokenizer.from_pretrained(folders.model / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(folders.model / "text_encoder").float()
    ids = tokenize(tokenizer, captions)
    embeddings = torch.cat(
        [
            text_encoder(batch).last_hidden_state.half()
            for batch in tqdm(ids.split(256), desc="encode captions")
        ]
    )
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(folders.model / "vae").float()
        vae = vae.to(memory_format=torch.channels_last)
        latents = encode_latents(vae, data, len(data.scenes)) * vae.config.scaling_factor
        with atomic(path) as temporary:
            save_file({"latents": latents.half().contiguous()}, temporary)
    index = {caption: i for i, caption in enumerate(captions)}
    which = torch.tensor([index[scene.caption] for scene in data.scenes])
    return load_file(path)["latents"], embeddings, which


def assemble(folders: Folders) -> None:
    """Write ``model_index.json`` and the scheduler, which makes the folder a ``StableDiffusionPipeline``."""
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(folders.model / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(folders.model / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folders.model / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(folders.model / "unet"),
        scheduler=noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folders.model)
