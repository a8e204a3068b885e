"""The official training: z_t from scratch, attack, ESD's loss, retain loss, Adam; one sample at a time."""

import torch

from reference.noise import ddim_grid, ddim_states, predict
from reference.text import encode, token_ids, true_count, word_count


def mse(a, b):
    return ((a - b) ** 2).mean()


class Training:
    """AdvUnlearn on a text encoder. ``options`` and ``quirks`` as the library names them; batch 1, prefix."""

    def __init__(self, pipe, text_encoder, concept, retain, options, quirks, layout="prefix"):
        self.unet, self.frozen, self.tokenizer = pipe.unet, pipe.text_encoder, pipe.tokenizer
        self.trained, self.options, self.quirks, self.layout = text_encoder, options, quirks, layout
        self.concept, self.retain = concept, retain
        self.ids = token_ids(self.tokenizer, concept)
        self.count = true_count(self.ids, self.tokenizer)
        if "word_count" in quirks:
            self.count = word_count(concept)
        with torch.no_grad():
            self.empty = encode(self.frozen, token_ids(self.tokenizer, ""))
            self.own = encode(self.frozen, self.ids)

    def noise(self, seed, index):
        """The initial noise of sampling path ``index``."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        config = self.unet.config
        return torch.randn(config.in_channels, config.sample_size, config.sample_size, generator=generator)

    def draw(self, count, generator):
        """For each of ``count`` samples the grid point of its z (0: pure noise) and the timestep told."""
        steps = self.options["steps"]
        drawn = torch.randint(steps, (count,), generator=generator).tolist()
        if "noise_level_mismatch" not in self.quirks:
            return [(k, ddim_grid(steps)[k]) for k in drawn]
        width = 1000 // steps
        inside = torch.randint(width, (count,), generator=generator).tolist()
        return [(min(steps + 1 - k, steps - 1), width * k + more) for k, more in zip(drawn, inside)]

    @torch.no_grad()
    def point(self, prompt_embeds, seed, index, drawn):
        """z at the drawn point of a path, the timestep, and the frozen answers to "" and to the prompt."""
        options, (k, t) = self.options, drawn
        noise = self.noise(seed, index)
        z = ddim_states(
            self.unet, noise, prompt_embeds, self.empty, options["steps"], options["guidance_scale"], k + 1
        )[k]
        return z, t, predict(self.unet, z, t, self.empty), predict(self.unet, z, t, prompt_embeds)

    def assemble(self, words, d):
        """[start, d, concept, rest], cut to length; the official code drops what lies beyond."""
        n, k = self.count, len(d)
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

    def attack(self, index, seed, generator):
        """The adversarial token embeddings [l, d] of the concept's prompt."""
        options, table = self.options, self.trained.get_input_embeddings().weight
        rows = self.count if self.layout == "add" else options["attack_tokens"]
        words = table[self.ids].detach()
        start = torch.randint(len(table), (1, rows), generator=generator)[0]
        d = table[start].detach().clone().requires_grad_(True)
        adam = torch.optim.Adam([d], options["attack_lr"])
        total, before = torch.zeros_like(d), d.detach().clone()
        for _ in range(options["attack_steps"]):
            (drawn,) = self.draw(1, generator)
            z, t, _, answer = self.point(self.own, seed, index, drawn)
            embeds = encode(self.trained, self.ids, self.assemble(words, d))
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
                    d -= options["attack_lr"] * total.sign()
        final = before if "drop_last_update" in self.quirks else d.detach()
        return self.assemble(words, final)

    def loss(self, seed, generator):
        """The upper level's loss of one iteration."""
        options = self.options
        index = int(torch.randint(options["per_prompt"], (1,), generator=generator))
        words = self.attack(index, seed, generator)
        (drawn,) = self.draw(1, generator)
        z, t, blank, answer = self.point(self.own, seed, index, drawn)
        target = blank - options["eta"] * (answer - blank)
        total = mse(predict(self.unet, z, t, encode(self.trained, self.ids, words)), target)
        chosen = torch.randperm(len(self.retain), generator=generator)[: options["retain_batch"]]
        kept = 0.0
        for number, drawn in zip(chosen.tolist(), self.draw(len(chosen), generator)):
            ids = token_ids(self.tokenizer, self.retain[number])
            with torch.no_grad():
                frozen = encode(self.frozen, ids)
            z, t, _, answer = self.point(frozen, seed + 1, number, drawn)
            kept = kept + mse(predict(self.unet, z, t, encode(self.trained, ids)), answer) / len(chosen)
        return total + options["retain_weight"] * kept

    def run(self, seed):
        """All iterations; the losses."""
        parameters = [p for name, p in self.trained.named_parameters() if "embed" not in name]
        for parameter in parameters:
            parameter.requires_grad_(True)
        adam, losses = torch.optim.Adam(parameters, self.options["lr"]), []
        for iteration in range(self.options["iterations"]):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + iteration)
            loss = self.loss(0, generator)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        return losses
