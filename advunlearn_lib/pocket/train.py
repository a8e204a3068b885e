"""Train the pocket model from the sprite atlas: ``./reproduce.sh pocket-train [--stage clip|vae|unet|judge]``.

Order: vae, clip, judge, unet. Each stage leaves its part of ``data/pocket/``; a stopped stage resumes from its checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPProcessor, CLIPTextModel, CLIPTokenizer

from advunlearn_lib.checkpoint import atomic
from advunlearn_lib.pocket import networks
from advunlearn_lib.pocket.dataset import Dataset, training_set
from advunlearn_lib.pocket.loop import Plan, fit
from advunlearn_lib.pocket.render import PLACE_NAMES, STYLE_NAMES
from advunlearn_lib.pocket.world import OBJECTS
from advunlearn_lib.progress import tqdm

PLANS = {
    "vae": Plan(steps=2600, batch=16, lr=2e-3, weight_decay=0.0, ema=0.995),
    "clip": Plan(steps=800, batch=128, lr=1e-3, weight_decay=0.05, ema=0.99),
    "judge": Plan(steps=900, batch=64, lr=2e-3, weight_decay=0.02, ema=0.99),
    "unet": Plan(steps=8000, batch=64, lr=1e-3, weight_decay=0.01, ema=0.999),
}


@dataclass(frozen=True)
class Folders:
    """Where a training run reads and writes."""

    model: Path
    sprites: Path
    work: Path
    log: Path


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
        edges = sum(F.l1_loss(a, b) for a, b in zip(picture_gradients(decoded), picture_gradients(images), strict=True))
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return l1 + 0.5 * edges + 2e-4 * kl, {"l1": l1.item(), "kl": kl.item()}

    fit("vae", {"vae": vae}, loss, plan, folders.work, folders.log)
    latents = encode_latents(vae, data, 1024)
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    save_half(vae, folders.model / "vae")


def save_half(module: torch.nn.Module, folder: Path) -> None:
    """``save_pretrained`` in fp16 safetensors."""
    module.to("cpu", torch.float16).save_pretrained(folder)  # type: ignore[operator]
    module.float()


@torch.no_grad()
def encode_latents(vae: AutoencoderKL, data: Dataset, count: int) -> torch.Tensor:
    """Posterior means of the first ``count`` pictures, unscaled: ``[count, 4, 16, 16]``."""
    batches = (data.batch(np.arange(i, min(i + 64, count))) for i in range(0, count, 64))
    return torch.cat([vae.encode(batch).latent_dist.mean for batch in batches])


def train_clip(data: Dataset, folders: Folders) -> None:
    """The tokenizer, then text and vision tower by CLIP's symmetric contrastive loss over a batch."""
    torch.manual_seed(1)
    tokenizer = networks.train_tokenizer(scene.caption for scene in data.scenes)
    clip, plan = networks.build_clip(tokenizer), PLANS["clip"]
    ids = tokenize(tokenizer, [scene.caption for scene in data.scenes])
    target = torch.arange(plan.batch)

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        words = ids[index]
        longest = int((words != tokenizer.eos_token_id).sum(-1).max()) + 1  # later positions cannot be seen by the pooled token
        logits = clip(input_ids=words[:, :longest], pixel_values=data.batch(index)).logits_per_image
        value = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        return value, {"match": (logits.argmax(-1) == target).float().mean().item()}

    fit("clip", {"clip": clip}, loss, plan, folders.work, folders.log)
    save_half(clip, folders.model.parent / "clip")
    CLIPProcessor(image_processor(), tokenizer).save_pretrained(folders.model.parent / "clip")
    tokenizer.save_pretrained(folders.model / "tokenizer")
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.load_state_dict(clip.text_model.state_dict())
    save_half(text_encoder, folders.model / "text_encoder")


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Ids ``[n, 24]``, padded with the end token as SD v1.4 pads."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def image_processor() -> CLIPImageProcessor:
    """Only rescaling to [-1, 1]: pocket pictures are 64 x 64 already."""
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessor(do_resize=False, do_center_crop=False, image_mean=half, image_std=half)


def train_judge(data: Dataset, folders: Folders) -> None:
    """Object, place and style by cross-entropy on one trunk; saved as an object and a style classifier.

    A quarter of each batch has been through the VAE and all of it is noised a little, so that the judge reads
    generated pictures as well as drawn ones.
    """
    torch.manual_seed(2)
    vae, plan = AutoencoderKL.from_pretrained(folders.model / "vae").float(), PLANS["judge"]
    labels = {"thing": OBJECTS, "style": STYLE_NAMES, "place": PLACE_NAMES}
    judges = {field: networks.build_judge(names) for field, names in labels.items()}
    trunk = judges["thing"].resnet
    judges["style"].resnet = judges["place"].resnet = trunk
    truth = {field: data.labels(field) for field in labels}

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        rng.shuffle(index)
        images = torch.cat([data.batch(index[i : i + 1]) for i in range(plan.batch)])
        with torch.no_grad():
            images[: plan.batch // 4] = vae(images[: plan.batch // 4]).sample.clamp(-1, 1)
        images = images + 0.06 * torch.randn(images.shape, generator=generator)
        pooled = trunk(images).pooler_output
        total, extras = torch.zeros(()), {}
        for field, judge in judges.items():
            logits, wanted = judge.classifier(pooled), truth[field][index]
            total = total + F.cross_entropy(logits, wanted)
            extras[field] = (logits.argmax(-1) == wanted).float().mean().item()
        return total, extras

    modules = {"trunk": trunk} | {field: judge.classifier for field, judge in judges.items()}
    fit("judge", modules, loss, plan, folders.work, folders.log)
    for field, name in (("thing", "object"), ("style", "style")):
        save_half(judges[field].eval(), folders.model.parent / f"judge-{name}")
        image_processor().save_pretrained(folders.model.parent / f"judge-{name}")


def train_unet(data: Dataset, folders: Folders) -> None:
    """Noise prediction, MSE weighted by min(SNR, 5) / SNR (Hang et al. 2023), 10 % of captions dropped."""
    torch.manual_seed(3)
    unet, plan = networks.build_unet(), PLANS["unet"]
    scheduler = noise_schedule()
    latents, embeddings, caption_index = frozen_inputs(data, folders)
    snr = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    weight = snr.clamp(max=5) / snr

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = torch.from_numpy(rng.choice(len(latents), plan.batch, replace=False))
        which = torch.where(torch.rand(plan.batch, generator=generator) < 0.1, 0, caption_index[index])
        clean = latents[index].float()
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (plan.batch,), generator=generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)  # type: ignore[arg-type]
        error = (unet(noisy, timesteps, embeddings[which].float()).sample - noise).square().mean((1, 2, 3))
        return (weight[timesteps] * error).mean(), {"mse": error.mean().item()}

    fit("unet", {"unet": unet}, loss, plan, folders.work, folders.log)
    save_half(unet, folders.model / "unet")
    assemble(folders)


def noise_schedule() -> DDIMScheduler:
    """SD v1.4's training noise: 1000 steps, scaled_linear betas 0.00085 .. 0.012."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )


@torch.no_grad()
def frozen_inputs(data: Dataset, folders: Folders) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scaled latents of all pictures, embeddings of all distinct captions ("" first), and each picture's caption."""
    captions = ["", *sorted({scene.caption for scene in data.scenes})]
    tokenizer = CLIPTokenizer.from_pretrained(folders.model / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(folders.model / "text_encoder").float()
    ids = tokenize(tokenizer, captions)
    embeddings = torch.cat([text_encoder(batch).last_hidden_state.half() for batch in tqdm(ids.split(256), desc="encode captions")])
    path = folders.work / "latents.safetensors"
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(folders.model / "vae").float().to(memory_format=torch.channels_last)
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


STAGES = {"vae": train_vae, "clip": train_clip, "judge": train_judge, "unet": train_unet}


def train(folders: Folders, stages: tuple[str, ...] = tuple(STAGES)) -> None:
    """Run ``stages`` in order, each resumed where it stopped."""
    data = training_set(folders.sprites, folders.work)
    for stage in stages:
        STAGES[stage](data, folders)


if __name__ == "__main__":
    import sys

    train(
        Folders(Path("data/pocket/v1-4"), Path("data/world/sprites.png"), Path("work"), Path("figures/pocket/training")),
        tuple(sys.argv[1:]),
    )
