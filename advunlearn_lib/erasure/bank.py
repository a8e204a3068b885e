"""The bank: latents on the frozen model's sampling paths, and training's targets at them.

ESD and AdvUnlearn draw z_t by running DDIM with guidance from noise down to a random step. When the text
encoder is trained, that path (frozen UNet, frozen embedding of the prompt) never changes: one run gives every
z_t on it, and the two predictions eps_0(z_t, "") and eps_0(z_t, c) that classifier-free guidance computes at
each step *are* the training targets. So the bank costs nothing beyond one sampling run a path, and is exact.
When the UNet is trained the official code samples from the current UNet; the bank then samples from the
frozen one, as ESD's authors do since 2025. :class:`Resampler` is the official way, from scratch at each draw:
the reference in tests and in the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.base.keys import Recipe
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import make_sampler

Tensors = Callable[[str, Recipe, Callable[[], dict[str, Tensor]]], dict[str, Tensor]]
"""(kind, recipe, make) -> tensors: keeps what ``make`` gives, as :meth:`Task.tensors` does."""
VERSION = 2  # raised when the same recipe comes to mean another bank
FRESH = 1 << 20  # paths of a prompt, where none is kept: no draw meets the same noise again


@dataclass(frozen=True)
class PathBatch:
    """A training batch: ``latents`` z_t, ``timesteps`` [b] and frozen predictions.

    It also has each sample's prompt index.
    """

    latents: Tensor
    timesteps: Tensor
    eps_empty: Tensor
    eps_prompt: Tensor
    prompt: Tensor


def ddim(model: LatentDiffusion, steps: int) -> Any:
    """Deterministic DDIM on the model's own noise schedule, for its UNet's output."""
    scheduler = make_sampler("ddim", model.scheduler.config)
    scheduler.set_timesteps(steps)
    return scheduler


@torch.no_grad()
def run_path(
    model: LatentDiffusion,
    latents: Tensor,
    prompt_embeds: Tensor,
    empty: Tensor,
    steps: int,
    guidance_scale: float,
    stop: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """States and predictions at the first ``stop`` points of a guided DDIM path, each [stop, b, c, h, w].

    Steps are along the UNet's own output: where z_t is noise alone, its eps says nothing of the picture.
    """
    scheduler, both = ddim(model, steps), torch.cat([empty.expand_as(prompt_embeds), prompt_embeds])
    states, empties, conditionals = [], [], []
    for timestep in scheduler.timesteps[:stop]:
        twice = torch.cat([latents, latents])
        output = model.predict(twice, timestep, both)
        eps_empty, eps_prompt = model.noise_in(twice, timestep, output).chunk(2)
        states.append(latents)
        empties.append(eps_empty)
        conditionals.append(eps_prompt)
        of_empty, of_prompt = output.chunk(2)
        guided = of_empty + guidance_scale * (of_prompt - of_empty)
        latents = scheduler.step(guided, int(timestep), latents).prev_sample
    return torch.stack(states), torch.stack(empties), torch.stack(conditionals)


class Resampler:
    """Draws by sampling from scratch, as the official code does: the slow reference.

    ``model`` may be the one in training: then its current UNet makes the path (the frozen prompt embedding
    guides it), while ``frozen`` gives the targets.
    """

    def __init__(
        self,
        frozen: LatentDiffusion,
        prompts: Sequence[str],
        per_prompt: int,
        steps: int,
        guidance_scale: float,
        seed: int,
        model: LatentDiffusion | None = None,
    ) -> None:
        self.frozen, self.model = frozen, model or frozen
        self.prompts, self.per_prompt = list(prompts), per_prompt
        self.steps, self.guidance_scale, self.seed = steps, guidance_scale, seed
        self.empty = frozen.unconditional()

    def __len__(self) -> int:
        return len(self.prompts) * self.per_prompt

    def prompt_of(self, which: Tensor) -> Tensor:
        """The index of each path's prompt; a prompt's paths stand side by side."""
        return which // self.per_prompt

    def paths_of(self, prompts: Tensor, generator: torch.Generator) -> Tensor:
        """A random path of each of ``prompts`` (indices)."""
        drawn = torch.randint(self.per_prompt, prompts.shape, generator=generator)
        return prompts * self.per_prompt + drawn

    def start(self, which: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Initial noise and frozen prompt embeddings of paths ``which``."""
        noise = self.frozen.noise([derived_seed(self.seed, index) for index in which])
        return noise, self.frozen.encode_prompts([self.prompts[index // self.per_prompt] for index in which])

    def at(self, which: Tensor, step: Tensor) -> PathBatch:
        """Path ``which[i]`` at grid point ``step[i]`` (0 is pure noise)."""
        points = []
        for index, k in zip(which.tolist(), step.tolist(), strict=True):
            noise, embeds = self.start([index])
            states, _, _ = run_path(
                self.model, noise, embeds, self.empty, self.steps, self.guidance_scale, k + 1
            )
            timestep = ddim(self.frozen, self.steps).timesteps[k : k + 1]
            with torch.no_grad():
                both = torch.cat([self.empty, embeds])
                empty, prompt = self.frozen.predict_noise(
                    states[-1].repeat(2, 1, 1, 1), timestep, both
                ).chunk(2)
            points.append((states[-1], timestep, empty, prompt))
        latents, timesteps, empties, prompts = (torch.cat(column) for column in zip(*points, strict=True))
        return PathBatch(latents, timesteps, empties, prompts, self.prompt_of(which))

    @torch.no_grad()
    def with_timesteps(self, batch: PathBatch, timesteps: Tensor) -> PathBatch:
        """The same latents with other ``timesteps`` [b] told to the networks, frozen ones included."""
        timesteps = timesteps.to(batch.timesteps)
        ids = self.frozen.tokenize([self.prompts[index] for index in batch.prompt.tolist()])
        empty = self.empty.expand(len(timesteps), -1, -1)
        eps_empty = self.frozen.predict_noise(batch.latents, timesteps, empty)
        eps_prompt = self.frozen.predict_noise(batch.latents, timesteps, self.frozen.encode(ids))
        return PathBatch(batch.latents, timesteps, eps_empty, eps_prompt, batch.prompt)

    def sample_batch(self, batch: int, generator: torch.Generator) -> PathBatch:
        """A random batch: path and grid point uniform."""
        which = torch.randint(len(self), (batch,), generator=generator)
        return self.at(which, torch.randint(self.steps, (batch,), generator=generator))


class Bank(Resampler):
    """All states of all paths, sampled once in batches; ``tensors`` keeps them, if given."""

    def __init__(
        self,
        frozen: LatentDiffusion,
        prompts: Sequence[str],
        per_prompt: int,
        steps: int,
        guidance_scale: float,
        seed: int,
        tensors: Tensors | None = None,
        batch: int = 32,
    ) -> None:
        super().__init__(frozen, prompts, per_prompt, steps, guidance_scale, seed)
        recipe = {"version": VERSION, "prompts": list(prompts), "per_prompt": per_prompt, "seed": seed}
        recipe |= {"steps": steps, "guidance_scale": guidance_scale}
        if tensors is None:
            self.table = self._sample(batch)
        else:
            self.table = tensors("bank", recipe, lambda: self._sample(batch))

    def _sample(self, batch: int) -> dict[str, Tensor]:
        columns: tuple[list[Tensor], ...] = ([], [], [])
        for start in tqdm(range(0, len(self), batch), desc="sample paths", leave=False):
            noise, embeds = self.start(range(start, min(start + batch, len(self))))
            path = run_path(
                self.frozen, noise, embeds, self.empty, self.steps, self.guidance_scale, self.steps
            )
            for column, values in zip(columns, path, strict=True):
                column.append(values.transpose(0, 1))
        names = ("latents", "eps_empty", "eps_prompt")
        return {name: torch.cat(column).contiguous() for name, column in zip(names, columns, strict=True)}

    def at(self, which: Tensor, step: Tensor) -> PathBatch:
        """Look the states up."""
        device = self.frozen.device
        names = ("latents", "eps_empty", "eps_prompt")
        latents, empty, prompt = (self.table[name][which, step].to(device) for name in names)
        timesteps = ddim(self.frozen, self.steps).timesteps[step].to(device)
        return PathBatch(latents, timesteps, empty, prompt, self.prompt_of(which))
