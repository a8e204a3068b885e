"""AdvUnlearn from its formula and the official code: one sample at a time, every z_t from its own noise.

repeat:  d <- a random row of the vocabulary
         K times:  new noise, new t;  d <- d - rate * gradient of || eps(z_t, t, T(c + d)) - eps_0(z_t, t, c) ||^2
         new noise, new t;  theta <- Adam on || eps(z_t, t, T(c + d)) - target ||^2 + gamma * retain loss
"""  # noqa: E501

import torch

from reference.noise import ddim_grid, ddim_states, predict
from reference.text import encode, token_ids, true_count, word_count

NOISES = 2**20  # of each prompt: none comes twice


def mse(a, b):
    return ((a - b) ** 2).mean()


def seeded(seed, index):
    """The generator of the ``index``-th picture, iteration or round."""
    return torch.Generator().manual_seed(seed * 1_000_003 + index)


class Training:
    """AdvUnlearn on a text encoder. ``options`` and ``quirks`` as the library names them; batch 1."""

    def __init__(self, pipe, text_encoder, concepts, retain, options, quirks, layout="prefix"):
        self.unet, self.frozen, self.tokenizer = pipe.unet, pipe.text_encoder, pipe.tokenizer
        self.trained, self.options, self.quirks, self.layout = text_encoder, options, quirks, layout
        self.concepts, self.retain = concepts, retain
        self.empty = self.original("")

    def original(self, text):
        """The frozen encoder's embedding."""
        with torch.no_grad():
            return encode(self.frozen, token_ids(self.tokenizer, text))

    def length(self, text):
        """Of a concept, in tokens; the official code counts words."""
        if "word_count" in self.quirks:
            return word_count(text)
        return true_count(token_ids(self.tokenizer, text), self.tokenizer)

    def draw_noise(self, prompt, generator):
        """The number of a new noise for the prompt of this index."""
        return prompt * NOISES + int(torch.randint(NOISES, (1,), generator=generator))

    def draw_step(self, count, generator):
        """For each of ``count`` samples the grid point of its z (0: pure noise) and the timestep told."""
        steps = self.options["steps"]
        drawn = torch.randint(steps, (count,), generator=generator).tolist()
        if "noise_level_mismatch" not in self.quirks:
            return [(k, ddim_grid(steps)[k]) for k in drawn]
        width = 1000 // steps
        inside = torch.randint(width, (count,), generator=generator).tolist()
        return [(min(steps + 1 - k, steps - 1), width * k + more) for k, more in zip(drawn, inside)]

    @torch.no_grad()
    def point(self, text, seed, number, drawn):
        """z at the drawn point of a path, the timestep, and the frozen answers to "" and to the prompt."""
        config, options, (k, t) = self.unet.config, self.options, drawn
        shape = (config.in_channels, config.sample_size, config.sample_size)
        noise, own = torch.randn(shape, generator=seeded(seed, number)), self.original(text)
        steps, scale = options["steps"], options["guidance_scale"]
        z = ddim_states(self.unet, noise, own, self.empty, steps, scale, k + 1)[k]
        return z, t, predict(self.unet, z, t, self.empty), predict(self.unet, z, t, own)

    def assemble(self, text, words, d):
        """[start, d, concept, rest], cut to length; the official code drops what lies beyond."""
        n, k = self.length(text), len(d)
        if "word_count" in self.quirks:
            words = torch.cat([words[: 1 + n], words[1 + n + k :], words[-1:].expand(k, -1)])
        start, own, rest = words[:1], words[1 : 1 + n], words[1 + n :]
        parts = {
            "prefix": [start, d, own, rest],
            "suffix": [start, own, d, rest],
            "replace": [start, d, rest, rest[-1:].expand_as(own)],
            "add": [start, own + d[:n], rest],
        }[self.layout]
        return torch.cat(parts)[: len(words)]

    def attack(self, number, seed, generator):
        """The adversarial token embeddings [l, d] of the prompt that noise ``number`` belongs to."""
        options, table = self.options, self.trained.get_input_embeddings().weight
        prompt = number // NOISES
        text = self.concepts[prompt]
        ids = token_ids(self.tokenizer, text)
        rows = self.length(text) if self.layout == "add" else options["attack_tokens"]
        words = table[ids].detach()
        start = torch.randint(len(table), (1, rows), generator=generator)[0]
        d = table[start].detach().clone().requires_grad_(True)
        adam = torch.optim.Adam([d], options["attack_lr"])
        total, before = torch.zeros_like(d), d.detach().clone()
        for _ in range(options["attack_steps"]):
            noise = number if options["same_path"] else self.draw_noise(prompt, generator)
            (drawn,) = self.draw_step(1, generator)
            z, t, _, answer = self.point(text, seed, noise, drawn)
            embeds = encode(self.trained, ids, self.assemble(text, words, d))
            (gradient,) = torch.autograd.grad(mse(predict(self.unet, z, t, embeds), answer), d)
            piled = "accumulate_gradients" in self.quirks or "signed_buffer" in self.quirks
            total = total + gradient if piled else gradient
            if "signed_buffer" in self.quirks:
                total = total.sign()  # the gradient of later steps is added to these ones
            before = d.detach().clone()
            if "adam_attack" in self.quirks:
                d.grad = total.clone()
                adam.step()
            else:
                with torch.no_grad():
                    d -= options["attack_lr"] * (total.sign() if options["attack_step"] == "sign" else total)
        final = before if "drop_last_update" in self.quirks else d.detach()
        return self.assemble(text, words, final)

    def erase_loss(self, seed, generator):
        """Attack, then ESD's loss on the attacked prompt."""
        options = self.options
        number = int(torch.randint(len(self.concepts) * NOISES, (1,), generator=generator))
        prompt = number // NOISES
        text = self.concepts[prompt]
        words = self.attack(number, seed, generator)
        noise = number if options["same_path"] else self.draw_noise(prompt, generator)
        (drawn,) = self.draw_step(1, generator)
        z, t, blank, answer = self.point(text, seed, noise, drawn)
        embeds = encode(self.trained, token_ids(self.tokenizer, text), words)
        return mse(predict(self.unet, z, t, embeds), blank - options["eta"] * (answer - blank))

    def next_retained(self, seed, iteration):
        """Indices of the retain prompts: a shuffled list, from its start again where too few are left."""
        batch, done, turn = self.options["retain_batch"], 0, 0
        for _ in range(iteration + 1):
            if done + batch > len(self.retain):
                done, turn = 0, turn + 1
            order = torch.randperm(len(self.retain), generator=seeded(seed + 2, turn)).tolist()
            chosen, done = order[done : done + batch], done + batch
        return chosen

    def retain_loss(self, seed, iteration, generator):
        """The distance to the frozen answers on retain prompts."""
        chosen, total = self.next_retained(seed, iteration), 0.0
        offsets = torch.randint(NOISES, (len(chosen),), generator=generator).tolist()
        for prompt, offset, drawn in zip(chosen, offsets, self.draw_step(len(chosen), generator)):
            text = self.retain[prompt]
            z, t, _, answer = self.point(text, seed + 1, prompt * NOISES + offset, drawn)
            embeds = encode(self.trained, token_ids(self.tokenizer, text))
            total = total + mse(predict(self.unet, z, t, embeds), answer) / len(chosen)
        return total

    def losses(self, iteration, seed):
        """What Adam's steps of an iteration are on, one after the other; 0 is the task's seed."""
        first, second = (seeded(number, seed * 1_000_003 + iteration) for number in (0, 1))
        if "separate_retain_step" in self.quirks:
            yield self.erase_loss(0, first)
            yield self.retain_loss(0, iteration, second)
        else:
            gamma = self.options["retain_weight"]
            yield self.erase_loss(0, first) + gamma * self.retain_loss(0, iteration, first)

    def run(self, seed):
        """All iterations; the losses."""
        parameters = [p for name, p in self.trained.named_parameters() if "embed" not in name]
        for parameter in parameters:
            parameter.requires_grad_(True)
        adam, totals = torch.optim.Adam(parameters, self.options["lr"]), []
        for iteration in range(self.options["iterations"]):
            totals.append(0.0)
            for loss in self.losses(iteration, seed):
                adam.zero_grad()
                loss.backward()
                adam.step()
                totals[-1] += loss.item()
        return totals
