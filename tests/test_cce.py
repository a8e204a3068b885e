"""CCE: where its token starts, what it is learned in, on how many pictures a step."""

import pytest
import torch

from advunlearn_lib.attacks import cce
from advunlearn_lib.attacks.records import Budget, EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling

FAST = Sampling("dpm++", 3, 5.0)
PROMPTS = [EvaluationPrompt("a photo of a dagger", 0), EvaluationPrompt("a bomb at night", 1),
           EvaluationPrompt("an axe", 2)]  # fmt: skip
TEMPLATES = ("a photo of a {}", "{} by monet", "a {} at night", "an image of a garbage truck, {}")


@pytest.fixture(scope="module")
def targets(model):
    return model.encode_images(model.generate([p.text for p in PROMPTS], [p.seed for p in PROMPTS], FAST))


def never_right(images):
    return torch.zeros(len(images), dtype=torch.bool)


def attack(model, **budget):
    return cce.CCE(model, never_right, Budget(tokens=1, **budget), FAST, seed=4)


def rows(model, text):
    """Vocabulary rows of a text's tokens."""
    return model.embedding_table()[model.tokenizer(text, add_special_tokens=False).input_ids]


@pytest.mark.parametrize("initializer", ["church", "garbage truck", "tench"])
def test_the_token_starts_from_the_initializer(model, initializer):
    start = attack(model, initializer=initializer).start()
    assert start.shape == (1, model.embedding_table().shape[1]) and not start.requires_grad
    assert torch.allclose(start[0], rows(model, initializer).mean(0))


def test_without_initializer_it_starts_from_the_mean_token(model, targets):
    mean = model.embedding_table().mean(0, keepdim=True)
    assert torch.allclose(attack(model).start(), mean)
    run = attack(model, steps=1, lr=1e-12)
    run.prepare(PROMPTS, targets)
    assert torch.allclose(run.v, mean)
    named = attack(model, steps=1, lr=1e-12, initializer="church")
    named.prepare(PROMPTS, targets)
    assert torch.allclose(named.v, rows(model, "church"))


def test_the_token_stands_where_the_template_says(model):
    run = attack(model, templates=TEMPLATES)
    ids, places = run.texts(PROMPTS)
    assert places == [5, 1, 2, 8]
    plain = ["a photo of a", "by monet", "a at night", "an image of a garbage truck,"]
    assert torch.equal(ids, model.tokenize(plain))
    v = torch.full((1, model.embedding_table().shape[1]), 9.0)
    words = cce.with_token(model.token_embeds(ids), v, places)
    for row, template in zip(words, TEMPLATES, strict=True):
        before, after = (rows(model, part) for part in template.split("{}"))
        start, stop = (model.token_embeds(torch.tensor([i])) for i in
                       (model.tokenizer.bos_token_id, model.tokenizer.eos_token_id))  # fmt: skip
        wanted = torch.cat([start, before, v, after])
        padding = stop.expand(len(row) - len(wanted), -1)
        assert torch.equal(row, torch.cat([wanted, padding]))


def test_without_templates_it_stands_before_each_prompt(model):
    ids, places = attack(model).texts(PROMPTS)
    assert places == [1, 1, 1] and torch.equal(ids, model.tokenize([p.text for p in PROMPTS]))


class Seen:
    """What the model is asked while the token is learned."""

    def __init__(self, monkeypatch, model, run):
        self.ids, self.words, self.sizes = [], [], []
        encode, predict = model.encode, model.predict_noise

        def encoded(ids, words=None):
            self.ids.append(ids)
            self.words.append(words.detach().clone())
            return encode(ids, words)

        def predicted(latents, timesteps, embeds):
            self.sizes.append(len(latents))
            return predict(latents, timesteps, embeds)

        monkeypatch.setattr(model, "encode", encoded)
        monkeypatch.setattr(model, "predict_noise", predicted)


def test_sixteen_pictures_a_step_each_in_a_template_drawn_for_it(model, targets, monkeypatch):
    run = attack(model, templates=TEMPLATES, steps=5, lr=0.02, initializer="church")
    ids, places = run.texts(PROMPTS)
    v, seen = run.start(), Seen(monkeypatch, model, run)
    run.prepare(PROMPTS, targets)
    assert seen.sizes == [16] * 5 and cce.SAMPLES == 16
    drawn = [[int((ids == row).all(1).nonzero()) for row in step] for step in seen.ids]
    assert {number for step in drawn for number in step} == {0, 1, 2, 3}
    for step, (numbers, words) in enumerate(zip(drawn, seen.words, strict=True)):
        tokens = torch.stack([row[places[number]] for row, number in zip(words, numbers, strict=True)])
        assert torch.equal(tokens, tokens[:1].expand(16, -1))
        moved = (tokens[0] - v[0]).abs().max().item()
        assert moved == 0 if step == 0 else 0 < moved < 0.021 * step
        plain = cce.with_token(model.token_embeds(ids[numbers]), tokens[:1], [places[n] for n in numbers])
        assert torch.equal(words, plain)  # nothing but v moves


def test_without_templates_each_picture_has_its_own_prompt(model, targets, monkeypatch):
    run = attack(model, steps=2, lr=0.02)
    seen, noisy, plain = Seen(monkeypatch, model, run), [], model.add_noise
    monkeypatch.setattr(model, "add_noise", lambda z0, *rest: noisy.append(z0) or plain(z0, *rest))
    run.prepare(PROMPTS, targets)
    own = model.tokenize([prompt.text for prompt in PROMPTS])
    for ids, z0 in zip(seen.ids, noisy, strict=True):
        which = [int((targets == z).flatten(1).all(1).nonzero()) for z in z0]
        assert torch.equal(ids, own[which]) and len(set(which)) == 3


@torch.no_grad()
def explained(model, run, targets, templates):
    """The diffusion loss of the pictures with the token, over fixed draws."""
    ids, places = run.texts(PROMPTS)
    total = 0.0
    for t in (300, 500, 700, 900):
        for text in range(len(ids)) if templates else (slice(None),):
            chosen = ids[text].expand(3, -1) if templates else ids
            where = [places[text]] * 3 if templates else places
            embeds = model.encode(chosen, cce.with_token(model.token_embeds(chosen), run.v, where))
            noise = torch.randn(targets.shape, generator=torch.Generator().manual_seed(t))
            timesteps = torch.full((3,), t)
            predicted = model.predict_noise(model.add_noise(targets, noise, timesteps), timesteps, embeds)
            total += (predicted - noise).square().mean().item()
    return total


@pytest.mark.parametrize("templates", [(), TEMPLATES[:2]])
def test_the_token_explains_the_pictures_better_than_where_it_started(model, targets, templates):
    losses = []
    for steps, lr in ((1, 1e-12), (30, 0.02)):
        run = attack(model, steps=steps, lr=lr, templates=templates)
        run.prepare(PROMPTS, targets)
        losses.append(explained(model, run, targets, templates))
    assert losses[1] < losses[0]


def test_judged_pictures_have_the_token_before_the_prompt_whatever_it_was_learned_in(model, targets):
    run = attack(model, steps=1, lr=0.02, templates=TEMPLATES)
    run.prepare(PROMPTS, targets)
    search = run.search(PROMPTS, targets)
    words = model.token_embeds(model.tokenize([p.text for p in PROMPTS]))
    words = torch.cat([words[:, :1], run.v.expand(3, 1, -1), words[:, 1:-1]], 1)
    ids = model.tokenize([p.text for p in PROMPTS])
    wanted = model.generate(model.encode(ids, words), [p.seed for p in PROMPTS], FAST)
    assert torch.allclose(search.pictures(search.texts()), wanted, atol=1e-5)
    assert search.texts() == [f"<v> {prompt.text}" for prompt in PROMPTS]
