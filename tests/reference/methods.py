"""UCE, Forget-Me-Not and SPM from their formulas: slow loops over matrices, samples and layers."""

import torch

from reference.advunlearn import NOISES, mse
from reference.noise import ddim_grid, ddim_states, predict
from reference.text import encode, token_ids, true_count


def cross_attention(unet):
    """Its layers by name."""
    return {name: module for name, module in unet.named_modules() if name.endswith("attn2")}


@torch.no_grad()
def uce_2025(pipe, concepts, guide, preserved, lam, erase_scale, preserve_scale):
    """The edited weights by name; each text stands for the embedding of its last token."""

    def last_token(text):
        ids = token_ids(pipe.tokenizer, text)
        return encode(pipe.text_encoder, ids)[true_count(ids, pipe.tokenizer)].double()

    pairs = [(last_token(text), last_token(guide)) for text in concepts]
    kept = [last_token(text) for text in preserved]
    return edited(pipe.unet, pairs, kept, lam, erase_scale, preserve_scale)


@torch.no_grad()
def uce_2023(pipe, concepts, guide, preserved):
    """The same from the last words on, side by side; the empty prompt and ``preserved`` at every position."""

    def embeds(text):
        ids = token_ids(pipe.tokenizer, text)
        return true_count(ids, pipe.tokenizer), encode(pipe.text_encoder, ids).double()

    pairs, (last_of_guide, instead) = [], embeds(guide or " ")
    for text in concepts:
        last, own = embeds(text)
        place = 0
        while last + place < len(own) and last_of_guide + place < len(instead):
            pairs.append((own[last + place], instead[last_of_guide + place]))
            place += 1
    texts = ["", *preserved]
    kept = [row for text in texts for row in embeds(text)[1]]
    return edited(pipe.unet, pairs, kept, 0.5, 1.0, max(0.1, 1 / len(texts)))


def edited(unet, pairs, kept, lam, erase_scale, preserve_scale):
    """Keys and values that answer to each (c, g) of ``pairs`` as to g and to each of ``kept`` as before."""
    made = {}
    for name, layer in cross_attention(unet).items():
        for part in ("to_k", "to_v"):
            old = getattr(layer, part).weight.double()
            left, right = lam * old, lam * torch.eye(old.shape[1]).double()
            for c, instead in pairs:
                left = left + erase_scale * torch.outer(old @ instead, c)
                right = right + erase_scale * torch.outer(c, c)
            for p in kept:
                left = left + preserve_scale * torch.outer(old @ p, p)
                right = right + preserve_scale * torch.outer(p, p)
            made[f"{name}.{part}.weight"] = left @ torch.linalg.inv(right)
    return made


def positions_of(tokenizer, name, text):
    """Where the tokens of ``name`` stand in ``text``, the start token being 0; "churches" is no "church"."""
    ids, own = (tokenizer(one, add_special_tokens=False).input_ids for one in (text, name))
    found = []
    for first in range(len(ids)):
        if ids[first : first + len(own)] == own:
            found += range(1 + first, 1 + first + len(own))
    return found


def fmn_loss(pipe, unet, latents, timesteps, texts, name):
    """|| cross-attention to ``name`` in the text that is fed ||_2, averaged over samples.

    It is of all layers, heads and pixels.
    """
    seen, hooks = [], []

    def attention(module, arguments, named, output):
        words = named["encoder_hidden_states"][0]
        for query, key in zip(module.to_q(arguments[0])[0].chunk(module.heads, -1),
                              module.to_k(words).chunk(module.heads, -1)):  # fmt: skip
            scores = query @ key.T / query.shape[-1] ** 0.5
            seen.append(scores.softmax(-1)[:, positions].flatten())

    for layer in cross_attention(unet).values():
        hooks.append(layer.register_forward_hook(attention, with_kwargs=True))
    total = 0.0
    for z, t, text in zip(latents, timesteps, texts, strict=True):
        seen.clear()
        positions = positions_of(pipe.tokenizer, name, text)
        embeds = encode(pipe.text_encoder, token_ids(pipe.tokenizer, text)).detach()
        predict(unet, z, int(t), embeds)
        total = total + (torch.cat(seen) ** 2).sum() ** 0.5 / len(latents)
    for hook in hooks:
        hook.remove()
    return total


class SPM:
    """SPM's loss of one iteration; ``adapted`` is the UNet with its adapter on. Batch 1."""

    def __init__(self, pipe, adapted, concept, options, quirks):
        self.unet, self.adapted, self.options, self.quirks = pipe.unet, adapted, options, quirks
        with torch.no_grad():
            self.empty, self.own = (
                encode(pipe.text_encoder, token_ids(pipe.tokenizer, text)) for text in ("", concept)
            )

    @torch.no_grad()
    def state(self, seed, index, done):
        """z after ``done`` steps of the adapted UNet's path, and the timestep that the networks are told."""
        config, options = self.unet.config, self.options
        shape = (config.in_channels, config.sample_size, config.sample_size)
        start = torch.randn(shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + index))
        steps, scale = options["steps"], options["guidance_scale"]
        z = ddim_states(self.adapted, start, self.own, self.empty, steps, scale, done + 1)[done]
        told = 999 - int(done * 1000 / steps)
        return z, told if "told_timestep" in self.quirks else ddim_grid(steps)[done]

    def anchor(self, number, direction, length):
        """A random direction, 0.8 to 1.2 times as long as the concept's embedding."""
        if "blank_anchors" in self.quirks and number % 2 == 0:
            return self.empty
        return direction / direction.norm() * self.own.norm() * (0.8 + 0.4 * length)

    def loss(self, seed, generator):
        """The erasing loss, and the weight times the anchors' loss, all at one z_t."""
        options, count = self.options, self.options["anchor_batch"]
        path = int(torch.randint(NOISES, (1,), generator=generator))
        done = 1 + int(torch.randint(options["steps"] - 1, (1,), generator=generator))
        directions = torch.randn((count, *self.own.shape), generator=generator)
        lengths = torch.rand(count, 1, 1, generator=generator)
        z, t = self.state(seed, path, done)
        with torch.no_grad():
            neutral, positive = (predict(self.unet, z, t, c) for c in (self.empty, self.own))
        target, stay = neutral - options["eta"] * (positive - neutral), 0.0
        for number in range(count):
            anchor = self.anchor(number, directions[number], lengths[number])
            with torch.no_grad():
                wanted = predict(self.unet, z, t, anchor)
            stay = stay + mse(predict(self.adapted, z, t, anchor), wanted) / count
        return mse(predict(self.adapted, z, t, self.own), target), options["anchor_weight"] * stay
