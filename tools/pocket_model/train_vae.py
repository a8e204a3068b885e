"""Stage *vae*: the autoencoder."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.world.scenes import Dataset
from tools.pocket_model import networks
from tools.pocket_model.common import PLANS, Folders, autocast, channels_last, save_half
from tools.pocket_model.loop import fit

WEIGHTS = "diffusion_pytorch_model.safetensors"


def picture_gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences between neighbouring pixels, vertical and horizontal."""
    return images.diff(dim=-2), images.diff(dim=-1)


def train_vae(data: Dataset, folders: Folders) -> None:
    """L1 + 0.5 L1 of the picture gradients + 2e-4 KL; the latents are scaled to unit variance."""
    torch.manual_seed(0)
    vae = networks.build_vae()
    channels_last(vae)
    plan = PLANS["vae"]

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        images = data.batch(rng.choice(len(data.scenes), plan.batch, replace=False))
        with autocast():
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample(generator)).sample.float()
        l1 = F.l1_loss(decoded, images)
        edges = sum(
            F.l1_loss(a, b)
            for a, b in zip(picture_gradients(decoded), picture_gradients(images), strict=True)
        )
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return l1 + 0.5 * edges + 2e-4 * kl, {"l1": l1.item(), "kl": kl.item()}

    fit("vae", {"vae": vae}, loss, plan, folders.work, folders.log)
    latents = encode_latents(vae, data, min(1024, len(data.scenes)))
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    save_half(vae, folders.model / "vae")


@torch.no_grad()
def encode_latents(vae: AutoencoderKL, data: Dataset, count: int) -> torch.Tensor:
    """Posterior means of the first ``count`` pictures, unscaled: ``[count, 4, 16, 16]``."""
    starts = tqdm(range(0, count, 64), desc="encode pictures", disable=count < 2000)
    batches = (data.batch(np.arange(start, min(start + 64, count))) for start in starts)
    with autocast():
        return torch.cat([vae.encode(batch).latent_dist.mean.float() for batch in batches])


def scaled_latents(data: Dataset, folders: Folders, name: str = "latents") -> torch.Tensor:
    """Latents of unit variance, fp16 ``[n, 4, 16, 16]``, of all pictures; the work folder keeps them."""
    where = folders.model / "vae"
    path = folders.work / f"{name}-{fingerprint(where / WEIGHTS)}.safetensors"
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(where).float()
        channels_last(vae)
        latents = encode_latents(vae, data, len(data.scenes)) * vae.config.scaling_factor
        with atomic(path) as temporary:
            save_file({"latents": latents.half().contiguous()}, temporary)
    return load_file(path)["latents"]
