"""Stages *unet* and *unet_2*: the noise predictor, and the assembly of the pipeline folder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.world.scenes import Dataset
from tools.pocket_model import networks
from tools.pocket_model.common import PLANS, Folders, autocast, channels_last, save_half, tokenize
from tools.pocket_model.loop import Loss, fit
from tools.pocket_model.train_vae import scaled_latents
from tools.pocket_model.training_set import training_captions

VARIANTS = 2  # captions of each picture that the UNet sees


class Inputs(NamedTuple):
    """What a UNet is trained on: latents [n, 4, 16, 16], embeddings [v, n, l, d], of "" [l, d].

    ``shown``: the places among the n that are drawn from.
    """

    latents: torch.Tensor
    embeddings: torch.Tensor
    empty: torch.Tensor
    shown: NDArray[np.int64]


def train_unet(data: Dataset, folders: Folders) -> None:
    """The pocket counterpart of SD v1.4's UNet, from random weights."""
    torch.manual_seed(3)
    train_part("unet", networks.build_unet(), data, folders)


def train_unet_on(data: Dataset, folders: Folders) -> None:
    """The same UNet further, by a second cosine: no stage takes long, and each leaves a whole UNet."""
    train_part("unet_2", trained_unet(folders), data, folders)


def trained_unet(folders: Folders) -> UNet2DConditionModel:
    """The UNet as trained so far; not by from_pretrained, which would write this machine's path into it."""
    unet = networks.build_unet()
    unet.load_state_dict(UNet2DConditionModel.from_pretrained(folders.model / "unet").state_dict())
    return unet


def train_part(name: str, unet: UNet2DConditionModel, data: Dataset, folders: Folders) -> None:
    """Fit ``unet`` by the plan ``name`` and save it with its pipeline."""
    captions = training_captions(data, VARIANTS)
    inputs = Inputs(scaled_latents(data, folders), *embeddings(captions, folders), data.shown())
    channels_last(unet)
    loss = noise_prediction(unet, inputs, PLANS[name].batch)
    fit(name, {"unet": unet}, loss, PLANS[name], folders.work, folders.log)
    save_half(unet.to(memory_format=torch.contiguous_format), folders.model / "unet")
    assemble(folders)


def noise_prediction(unet: UNet2DConditionModel, inputs: Inputs, batch: int) -> Loss:
    """MSE of the noise weighted by min(SNR, 5) / SNR (Hang et al. 2023), 10 % of captions dropped."""
    scheduler = noise_schedule()
    snr = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    weight = snr.clamp(max=5) / snr

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = torch.from_numpy(rng.choice(inputs.shown, batch, replace=False))
        variant = torch.from_numpy(rng.integers(len(inputs.embeddings), size=batch))
        embeds = inputs.embeddings[variant, index].float()
        embeds[torch.rand(batch, generator=generator) < 0.1] = inputs.empty.float()
        clean = inputs.latents[index].float()
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (batch,), generator=generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)  # type: ignore[arg-type]
        with autocast():
            predicted = unet(noisy.to(memory_format=torch.channels_last), timesteps, embeds).sample
        error = (predicted.float() - noise).square().mean((1, 2, 3))
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
def embeddings(
    captions: list[list[str]], folders: Folders, name: str = "embeddings"
) -> tuple[torch.Tensor, torch.Tensor]:
    """fp16 embeddings [v, n, 32, 128] of captions, a list a variant, and [32, 128] of "".

    Kept in the work folder for this text encoder.
    """
    where = folders.model / "text_encoder"
    path = folders.work / f"{name}-{fingerprint(where / 'model.safetensors')}.safetensors"
    if not path.exists():
        tokenizer = CLIPTokenizer.from_pretrained(folders.model / "tokenizer")
        encoder = CLIPTextModel.from_pretrained(where).float()

        def encode(ids: torch.Tensor) -> torch.Tensor:
            with autocast():
                return encoder(ids).last_hidden_state.half()

        parts = [
            [encode(part) for part in tqdm(tokenize(tokenizer, variant).split(512), desc="encode captions")]
            for variant in captions
        ]
        tensors = {"embeddings": torch.stack([torch.cat(variant) for variant in parts])}
        tensors["empty"] = encode(tokenize(tokenizer, [""]))[0]
        with atomic(path) as temporary:
            save_file(tensors, temporary)
    kept = load_file(path)
    return kept["embeddings"], kept["empty"]


def assemble(folders: Folders) -> None:
    """Write ``model_index.json`` and the scheduler, which makes the folder a ``StableDiffusionPipeline``."""
    vae = AutoencoderKL.from_pretrained(folders.model / "vae")
    unet = UNet2DConditionModel.from_pretrained(folders.model / "unet")
    for part in (vae, unet):
        part.register_to_config(_name_or_path="")  # else this machine's path
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel.from_pretrained(folders.model / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folders.model / "tokenizer"),
        unet=unet,
        scheduler=noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folders.model)
