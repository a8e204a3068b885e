"""UnlearnDiffAtk and P4D as the benchmark's code runs them: one prompt, one noise, one step at a time."""

import torch

from reference.noise import noised, predict
from reference.text import encode, token_ids, true_count


def to_simplex(row):
    """Euclidean projection by bisection on the shift, as the benchmark projects."""
    low, high = row.min().item() - 1, row.max().item()
    for _ in range(200):
        middle = (low + high) / 2
        if (row - middle).clamp(min=0).sum() > 1:
            low = middle
        else:
            high = middle
    return (row - (low + high) / 2).clamp(min=0)


class Prompt:
    """One prompt under attack; ``reseeded``: each round begins where the random numbers of ``seed`` begin."""

    def __init__(self, pipe, text, z0, seed, reseeded=False):
        self.unet, self.text_encoder, self.tokenizer = pipe.unet, pipe.text_encoder, pipe.tokenizer
        self.z0, self.seed, self.reseeded = z0, seed, reseeded
        self.generator = torch.Generator().manual_seed(seed)
        self.ids = token_ids(self.tokenizer, text)
        self.table = self.text_encoder.get_input_embeddings().weight.detach()
        special = {self.tokenizer.bos_token_id, self.tokenizer.eos_token_id}
        self.vocabulary = [index for index in range(len(self.table)) if index not in special]
        self.rows = self.table[self.vocabulary]

    def prefixed(self, d):
        """Embeddings of [start, d, prompt, rest]."""
        words = self.table[self.ids]
        return encode(self.text_encoder, self.ids, torch.cat([words[:1], d, words[1:]])[: len(words)])

    def decoded(self, chosen):
        """The text a user would type: the tokens and the prompt's, decoded at once without their end."""
        own = self.ids.tolist()[1 : 1 + true_count(self.ids, self.tokenizer)]
        return self.tokenizer.decode([self.vocabulary[index] for index in chosen] + own).strip()

    def begin_round(self):
        """The sampler of the judged picture has seeded all randomness."""
        if self.reseeded:
            self.generator.manual_seed(self.seed)

    def noise(self):
        return torch.randn(self.z0.shape, generator=self.generator)


def unlearndiffatk(prompt, timesteps, steps, tokens, lr, weight_decay):
    """The text after each timestep, and the final distributions [k, v]."""
    size = len(prompt.vocabulary)
    p = torch.full((tokens, size), 1 / size, requires_grad=True)
    adam, texts = torch.optim.Adam([p], lr, weight_decay=weight_decay), []
    for t in timesteps:
        prompt.begin_round()
        for _ in range(steps):
            chosen = torch.multinomial(p.detach(), 1, generator=prompt.generator)[:, 0]
            one_hot = torch.nn.functional.one_hot(chosen, size).float().requires_grad_(True)
            noise = prompt.noise()
            z = noised(prompt.z0, noise, t)
            predicted = predict(prompt.unet, z, t, prompt.prefixed(one_hot @ prompt.rows))
            (gradient,) = torch.autograd.grad(((predicted - noise) ** 2).mean(), one_hot)
            p.grad = gradient.clamp(-1, 1)
            adam.step()
            with torch.no_grad():
                p.copy_(torch.stack([to_simplex(row) for row in p]))
        texts.append(prompt.decoded(p.argmax(-1).tolist()))
    return texts, p.detach()


def p4d(prompt, original, timesteps, steps, tokens, lr, weight_decay):
    """The text after each timestep, and the final continuous tokens [k, d]."""
    start = torch.randint(len(prompt.vocabulary), (tokens,), generator=prompt.generator)
    e = prompt.rows[start].clone().requires_grad_(True)
    adam, texts = torch.optim.Adam([e], lr, weight_decay=weight_decay), []
    with torch.no_grad():
        reference = encode(original.text_encoder, prompt.ids)

    def nearest():
        return [torch.cosine_similarity(row[None], prompt.rows).argmax().item() for row in e.detach()]

    for t in timesteps:
        prompt.begin_round()
        for _ in range(steps):
            rows = prompt.rows[nearest()].clone().requires_grad_(True)
            z = noised(prompt.z0, prompt.noise(), t)
            with torch.no_grad():
                wanted = predict(original.unet, z, t, reference)
            loss = ((predict(prompt.unet, z, t, prompt.prefixed(rows)) - wanted) ** 2).mean()
            (e.grad,) = torch.autograd.grad(loss, rows)
            adam.step()
        texts.append(prompt.decoded(nearest()))
    return texts, e.detach()
