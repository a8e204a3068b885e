"""PH2P: projection in every step, L-BFGS begun anew, the text whose picture CLIP finds most alike."""

import pytest
import torch

from advunlearn_lib.attacks import ph2p
from advunlearn_lib.attacks.clip_features import picture_features
from advunlearn_lib.attacks.lbfgs import LBFGS
from advunlearn_lib.attacks.pictures import generate_pictures
from advunlearn_lib.attacks.records import Budget, EvaluationPrompt
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.sampling import Sampling

FAST = Sampling("dpm++", 2, 3.0)
PROMPTS = [EvaluationPrompt("a photo of a dagger", 0), EvaluationPrompt("a bomb at night", 1)]


def never_right(images):
    return torch.zeros(len(images), dtype=torch.bool)


def attack_on(model, clip, judge=never_right, **options):
    budget = Budget(**{"tokens": 3, "steps": 6, "lr": 0.5, "timesteps": 9} | options)
    return ph2p.PH2P(model, judge, budget, FAST, seed=4, clip=clip)


def target_latents(model):
    return model.encode_images(model.generate([p.text for p in PROMPTS], [p.seed for p in PROMPTS], FAST))


def started(model, clip, **options):
    return attack_on(model, clip, **options).search(PROMPTS, target_latents(model))


def test_lbfgs_descends_its_objective(model, clip):
    search = started(model, clip)
    draws = [(search.timesteps(), search.noise()) for _ in range(4)]
    rows, optimizer = search.table[search.tokens].requires_grad_(True), LBFGS(0.5)
    before = search.objective(rows, draws)
    for _ in range(6):
        (gradient,) = torch.autograd.grad(search.objective(rows, draws), rows)
        rows = (rows + optimizer.update(gradient.flatten(1)).view_as(rows)).detach().requires_grad_(True)
    assert search.objective(rows, draws) < before
    assert all((timesteps >= 500).all() and (timesteps < 900).all() for timesteps, _ in draws)


def test_the_objective_is_the_diffusion_loss_of_the_whole_prompt(model, clip):
    search = started(model, clip)
    draws = [(search.timesteps(), search.noise()) for _ in range(2)]
    total, end = 0.0, model.tokenizer.eos_token_id
    for row, tokens in enumerate(search.vocabulary[search.tokens].tolist()):
        ids = [model.tokenizer.bos_token_id, *tokens, *[end] * (model.tokenizer.model_max_length - 4)]
        embeds = model.encode(torch.tensor([ids]))
        for timesteps, noise in draws:
            t, eps = timesteps[row : row + 1], noise[row : row + 1]
            noisy = model.add_noise(search.targets[row : row + 1], eps, t)
            total += (model.predict_noise(noisy, t, embeds) - eps).square().mean().item() / 2
    ours = search.objective(search.table[search.tokens], draws)
    assert ours.item() == pytest.approx(total, rel=1e-4)


def test_every_step_is_taken_at_the_nearest_rows(model, clip, monkeypatch):
    """A plain loop from the same random numbers passes through the same points."""
    search, begun, points = started(model, clip, steps=5), [], []
    plain = search.objective
    monkeypatch.setattr(ph2p, "RESTART", 3)
    monkeypatch.setattr(ph2p, "LBFGS", lambda lr: begun.append(lr) or LBFGS(lr))
    monkeypatch.setattr(
        search, "objective", lambda rows, draws: points.append((rows, draws)) or plain(rows, draws)
    )
    monkeypatch.setattr(search, "compare", lambda tokens: None)
    e = search.table[search.tokens].clone()
    search.advance(0)
    assert begun == [0.5, 0.5] and len(points) == 5
    for step, (rows, draws) in enumerate(points):
        assert len(draws) == 3 and len({tuple(timesteps.tolist()) for timesteps, _ in draws}) > 1
        nearest = torch.stack(
            [search.table[(search.table - x).norm(dim=1).argmin()] for x in e.flatten(0, 1)]
        ).view_as(e)
        assert torch.equal(rows.detach(), nearest), step
        if step % 3 == 0:
            optimizer = LBFGS(0.5)
        point = nearest.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(plain(point, draws), point)
        e = e + optimizer.update(gradient.flatten(1)).view_as(e)


def test_the_last_text_and_every_few_before_it_are_drawn(model, clip, monkeypatch):
    search, drawn = started(model, clip, steps=7), []
    monkeypatch.setattr(search, "compare", drawn.append)
    nearest, plain = [], search.nearest
    monkeypatch.setattr(search, "nearest", lambda e: nearest.append(e) or plain(e))
    monkeypatch.setattr(ph2p, "CANDIDATES", 3)
    search.advance(0)
    assert len(drawn) == 3 and len(nearest) == 7 + 3
    drawn.clear()
    monkeypatch.setattr(ph2p, "CANDIDATES", 50)
    search.advance(0)
    assert len(drawn) == 7


class FakeClip:
    """Sees in a picture nothing but its brightness: 1 is exactly the target, 0 is nothing like it."""

    device = torch.device("cpu")

    def __call__(self, images, return_tensors):
        self.pixel_values = torch.tensor([array.mean() / 255 for array in images]).float()
        return self

    def get_image_features(self, pixels):
        angle = (1 - pixels) * torch.pi / 2
        return 3 * torch.stack([angle.cos(), angle.sin()], -1)


def test_the_text_that_clip_prefers_is_kept(model, monkeypatch):
    fake = FakeClip()
    brightness = iter([[0.2, 0.9], [0.8, 0.1], [0.5, 0.95], [0.7, 0.3]])
    offered, search = [], started(model, (fake, fake), steps=4)
    search.wanted = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    monkeypatch.setattr(
        search,
        "pictures",
        lambda texts: torch.tensor(next(brightness))[:, None, None, None].expand(-1, 3, 8, 8),
    )
    rng = torch.Generator().manual_seed(0)
    tokens = [torch.randint(len(search.vocabulary), (2, 3), generator=rng) for _ in range(4)]
    for one in tokens:
        search.compare(one)
        offered.append(search.decoded(one))
    assert search.texts() == [offered[1][0], offered[2][1]]
    assert torch.equal(search.tokens, torch.stack([tokens[1][0], tokens[2][1]]))
    best = torch.cos((1 - torch.tensor([0.8, 0.95])) * torch.pi / 2)
    assert torch.allclose(search.likeness, best, atol=0.02)


def test_one_picture_is_judged_that_of_the_most_alike_text(model, clip, monkeypatch):
    judged, passed, plain = [], [], ph2p.InversionSearch.compare

    def compare(search, tokens):
        passed.append(search.decoded(tokens))
        plain(search, tokens)

    monkeypatch.setattr(ph2p.InversionSearch, "compare", compare)
    targets = target_latents(model)
    run = attack_on(model, clip, lambda images: judged.append(images) or never_right(images), steps=8, lr=5.0)
    results = run.run(PROMPTS, targets).prompts
    assert len(passed) == 8 and len(judged) == 2  # the plain prompts, then one picture each
    wanted = picture_features(clip, model.decode_latents(targets))
    pictures = [generate_pictures(model, PROMPTS, FAST, texts) for texts in passed]
    likeness = torch.stack([(picture_features(clip, images) * wanted).sum(-1) for images in pictures])
    for row, best in enumerate(likeness.argmax(0).tolist()):
        assert len({texts[row] for texts in passed}) > 1
        assert results[row].adversarial == passed[best][row]
        assert torch.allclose(judged[1][row], pictures[best][row], atol=1e-4)


def test_the_batch_size_changes_nothing_beyond_a_restart_either(model, clip, monkeypatch):
    monkeypatch.setattr(ph2p, "RESTART", 3)
    targets = target_latents(model)

    def outcome(batch):
        attack = attack_on(model, clip, steps=7, lr=5.0)
        attack.batch = batch
        return attack.run(PROMPTS, targets)

    together = outcome(2)
    assert together == outcome(1) and together.flags == []


def test_it_needs_a_clip_model(model):
    with pytest.raises(UserError, match="PH2P needs a CLIP model"):
        attack_on(model, None)
