"""Stage *vae*: the autoencoder."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from advunlearn_lib.pocket import networks
from advunlearn_lib.pocket.common import PLANS, Folders, save_half
from advunlearn_lib.pocket.loop import fit
from advunlearn_lib.world.scenes import Dataset


def picture_gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences between neighbouring pixels, vertical and horizontal."""
    return images.diff(dim=-2), images.diff(dim=-1)


def train_vae(data: Dataset, folders: Folders) -> None:
    """L1 + 0.5 L1 of the picture gradients + 2e-4 KL; the latents are scaled to unit variance."""
    torch.manual_seed(0)
    vae = networks.build_vae().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plan = PLANS["vae"]

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        images = data.batch(rng.choice(len(data.scenes), plan.batch, replace=False))
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.sample(generator)).sample
        l1 = F.l1_loss(decoded, images)
        edges = sum(
            F.l1_loss(a, b)
            for a, b in zip(picture_gradients(decoded), picture_gradients(images), strict=True)
        )
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return l1 + 0.5 * edges + 2e-4 * kl, {"l1": l1.item(), "kl": kl.item()}

    fit("vae", {"vae": vae}, loss, plan, folders.work, folders.log)
    latents = encode_latents(vae, data, 1024)
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    save_half(vae, folders.model / "vae")


@torch.no_grad()
def encode_latents(vae: AutoencoderKL, data: Dataset, count: int) -> torch.Tensor:
    """Posterior means of the first ``count`` pictures, unscaled: ``[count, 4, 16, 16]``."""
    batches = (data.batch(np.arange(i, min(i + 64, count))) for i in range(0, count, 64))
    return torch.cat([vae.encode(batch).latent_dist.mean for batch in batches])
