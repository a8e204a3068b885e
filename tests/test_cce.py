"""CCE: where its token starts, what it is learned in, on which pictures, how many a step."""

import pytest
import torch

from advunlearn_lib.attacks import cce
from advunlearn_lib.attacks.cce import TEMPLATES as USUAL
from advunlearn_lib.base.errors import UserError, validated
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
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


def attack(model, original=None, seed=4, **budget):
    budget = cce.CCEBudget(tokens=1, **{"word": "church", "pictures": 4} | budget)
    return cce.CCE(model, never_right, budget, FAST, seed=seed, original=original or model)


def rows(model, text):
    """Vocabulary rows of a text's tokens."""
    return model.embedding_table()[model.tokenizer(text, add_special_tokens=False).input_ids]


@pytest.mark.parametrize("initializer", ["church", "garbage truck", "tench"])
def test_the_token_starts_from_the_initializer(model, initializer):
    start = attack(model, initializer=initializer).start()
    assert start.shape == (1, model.embedding_table().shape[1]) and not start.requires_grad
    assert torch.allclose(start[0], rows(model, initializer).mean(0))


def test_without_initializer_it_starts_from_the_concepts_word(model, targets):
    assert torch.allclose(
        attack(model, word="garbage truck").start()[0], rows(model, "garbage truck").mean(0)
    )
    for initializer, start in (("", "church"), ("dog", "dog")):
        run = attack(model, steps=1, lr=1e-12, initializer=initializer)
        run.prepare(PROMPTS, targets)
        assert torch.allclose(run.v, rows(model, start))


def test_it_needs_the_concepts_word_and_the_model_before_erasing(model):
    with pytest.raises(UserError, match="CCE needs the concept's word"):
        attack(model, word="")
    with pytest.raises(UserError, match="CCE needs the model before erasing"):
        cce.CCE(model, never_right, cce.CCEBudget(word="church"), FAST)
    with pytest.raises(UserError, match=r"budget templates.1='a church': string should match pattern"):
        validated("budget", cce.CCEBudget, {"templates": ["a {}", "a church"]})


def test_the_token_stands_where_the_template_says(model):
    run = attack(model, templates=TEMPLATES)
    ids, places = run.texts()
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


def drawn(monkeypatch, model):
    """What ``model`` is asked to draw from now on, (text, seed), and the pictures that it draws."""
    asked, made, plain = [], [], model.generate

    def generate(texts, seeds, *rest):
        asked.extend(zip(texts, seeds, strict=True))
        made.append(plain(texts, seeds, *rest))
        return made[-1]

    monkeypatch.setattr(model, "generate", generate)
    return asked, made


def learned_on(monkeypatch, model):
    """The latents z_0 that are noised from now on."""
    seen, plain = [], model.add_noise
    monkeypatch.setattr(model, "add_noise", lambda z0, *rest: seen.append(z0) or plain(z0, *rest))
    return seen


def test_it_is_learned_on_pictures_of_its_own_and_on_no_evaluation_prompts(model, targets, monkeypatch):
    """25 that the original model draws of the templates with the word in, and the same mirrored."""
    original = model.copy_of("text_encoder")
    asked, made = drawn(monkeypatch, original)
    monkeypatch.setattr(model, "generate", None)  # the erased model draws none
    run, seen = (
        attack(model, original, pictures=25, templates=TEMPLATES, steps=4, lr=0.02),
        learned_on(monkeypatch, model),
    )
    run.batch, run.sampling = 10, Sampling("dpm++", 1, 1.0)
    run.prepare(PROMPTS, targets)
    texts = [template.replace("{}", "church") for template in TEMPLATES]
    assert [text for text, _ in asked] == (texts * 7)[:25]
    seeds = [seed for _, seed in asked]
    assert len(set(seeds)) == 25 and not set(seeds) & {prompt.seed for prompt in PROMPTS}

    pictures = torch.cat(made)
    latents = torch.cat([model.encode_images(part) for part in (pictures, pictures.flip(-1))])
    nearest = [(latents - z0).flatten(1).norm(dim=1).min(0) for step in seen for z0 in step]
    assert max(distance for distance, _ in nearest) < 1e-3  # no other picture is among them
    numbers = torch.stack([number for _, number in nearest])
    assert len(set(numbers.tolist())) > 30 and 0.3 < (numbers >= 25).float().mean() < 0.7
    for target in targets:
        assert (latents - target).flatten(1).norm(dim=1).min() > 1


def test_an_evaluation_prompts_seed_is_not_drawn_from(model, monkeypatch):
    asked, size = [], model.unet.config.sample_size * 4

    def generate(texts, seeds, *rest):
        asked.append(list(zip(texts, seeds, strict=True)))
        return torch.zeros(len(texts), 3, size, size)

    monkeypatch.setattr(model, "generate", generate)
    attack(model, pictures=25).pictures(set())
    taken = {seed for _, seed in asked[0][::2]}
    attack(model, pictures=25).pictures(taken)
    attack(model, seed=5, pictures=25).pictures(set())
    first, second, other = ({seed for _, seed in batch} for batch in asked)
    assert len(first) == len(second) == 25 and not taken & second and not first & other
    assert [text for text, _ in asked[0]] == ([text.replace("{}", "church") for text in USUAL] * 9)[:25]


def test_what_is_learned_does_not_depend_on_the_evaluation_prompts(model, targets):
    learned = []
    for prompts, aims in ((PROMPTS, targets), ([EvaluationPrompt("a dog", 3)], targets[:1] * 0)):
        run = attack(model, steps=3, lr=0.02)
        run.prepare(prompts, aims)
        learned.append(run.v)
    assert torch.equal(*learned)


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
    original = model.copy_of("text_encoder")
    run = attack(model, original, templates=TEMPLATES, steps=5, lr=0.02, initializer="church")
    ids, places = run.texts()
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


@torch.no_grad()
def explained(model, run):
    """The diffusion loss of the training pictures with the token, over fixed draws."""
    (ids, places), z0 = run.texts(), run.pictures(set())[0]
    total = 0.0
    for t in (500, 900):
        for row, place in zip(ids, places, strict=True):
            chosen = row.expand(len(z0), -1)
            words = cce.with_token(model.token_embeds(chosen), run.v, [place] * len(z0))
            noise = torch.randn(z0.shape, generator=torch.Generator().manual_seed(t))
            timesteps = torch.full((len(z0),), t)
            predicted = model.predict_noise(
                model.add_noise(z0, noise, timesteps), timesteps, model.encode(chosen, words)
            )
            total += (predicted - noise).square().mean().item()
    return total


def test_the_token_explains_the_pictures_better_than_where_it_started(model, targets):
    losses = []
    for steps, lr in ((1, 1e-12), (10, 0.05)):
        run = attack(model, steps=steps, lr=lr, initializer="dog", templates=TEMPLATES[:2])
        run.prepare(PROMPTS, targets)
        losses.append(explained(model, run))
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
