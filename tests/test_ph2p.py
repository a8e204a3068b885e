"""PH2P: plain gradients at projected rows, twenty a step, the text whose picture CLIP finds most alike."""

import pytest
import torch

from advunlearn_lib.attacks import ph2p
from advunlearn_lib.attacks.clip_features import picture_features
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.pictures import generate_pictures
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
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


def test_the_objective_is_the_diffusion_loss_of_the_whole_prompt(model, clip):
    search = started(model, clip)
    timesteps, noise = search.timesteps(), search.noise()
    total, end = 0.0, model.tokenizer.eos_token_id
    for row, tokens in enumerate(search.vocabulary[search.tokens].tolist()):
        ids = [model.tokenizer.bos_token_id, *tokens, *[end] * (model.tokenizer.model_max_length - 4)]
        embeds = model.encode(torch.tensor([ids]))
        t, eps = timesteps[row : row + 1], noise[row : row + 1]
        noisy = model.add_noise(search.targets[row : row + 1], eps, t)
        total += (model.predict_noise(noisy, t, embeds) - eps).square().mean().item()
    assert search.objective(search.table[search.tokens], timesteps, noise).item() == pytest.approx(
        total, rel=1e-4
    )


class Projected(torch.nn.Module):
    """The official arrangement: L-BFGS owns the projection of a copy that knows of no optimiser."""

    def __init__(self, start, table, lr):
        super().__init__()
        self.continuous, self.table, self.lr = start.clone(), table, lr
        self.projected = torch.nn.Parameter(start.clone())
        self.seen = []

    @torch.no_grad()
    def project(self):
        for place, row in enumerate(self.continuous):
            self.projected[place] = self.table[(self.table - row).norm(dim=1).argmin()]
        self.seen.append(self.projected.detach().clone())

    def step(self, optimizer, loss):
        """One step of torch's own L-BFGS; every closure projects first and moves the copy last."""

        def closure():
            self.project()
            optimizer.zero_grad()
            value = loss(self.projected[None])
            value.backward()
            self.continuous = self.continuous - self.lr * self.projected.grad
            return value

        optimizer.step(closure)


def test_the_points_are_those_of_the_official_lbfgs_whose_steps_are_overwritten(model, clip, monkeypatch):
    """torch's L-BFGS on the projection, from the same random numbers, passes through the same points."""
    attack = attack_on(model, clip, steps=2, lr=8.0)
    run, other = (attack.search(PROMPTS[:1], target_latents(model)[:1]) for _ in range(2))
    monkeypatch.setattr(ph2p, "CLOSURES", 4)
    points, plain = [], run.objective
    monkeypatch.setattr(
        run, "objective", lambda rows, *draw: points.append((rows, *draw)) or plain(rows, *draw)
    )
    monkeypatch.setattr(run, "compare", lambda tokens: None)
    run.advance(0)
    assert len(points) == 8 and all(500 <= int(t) < 900 for _, t, _ in points)
    assert len({int(t) for _, t, _ in points}) > 4  # each closure draws anew

    theirs = Projected(other.table[other.tokens][0], other.table, 8.0)
    lbfgs = torch.optim.LBFGS([theirs.projected], 8.0, max_iter=4, tolerance_grad=0, tolerance_change=0)
    for _ in range(2):
        theirs.step(lbfgs, lambda rows: other.objective(rows, other.timesteps(), other.noise()))
    assert torch.equal(torch.stack(theirs.seen), torch.cat([rows.detach() for rows, _, _ in points]))
    assert len(torch.stack(theirs.seen).flatten(1).unique(dim=0)) > 2  # it moves


def test_the_text_of_the_last_closure_is_drawn_after_the_last_step_and_every_few(model, clip, monkeypatch):
    search, drawn, nearest = started(model, clip, steps=7, lr=2.0), [], []
    monkeypatch.setattr(ph2p, "CLOSURES", 2)
    monkeypatch.setattr(search, "compare", drawn.append)
    plain = search.nearest
    monkeypatch.setattr(search, "nearest", lambda e: nearest.append(plain(e)) or nearest[-1])
    monkeypatch.setattr(search, "objective", lambda rows, *draw: (rows * torch.randn_like(rows)).sum())
    monkeypatch.setattr(ph2p, "CANDIDATES", 3)
    search.advance(0)
    assert len(nearest) == 14 and all(map(torch.equal, drawn, (nearest[5], nearest[11], nearest[13])))
    drawn.clear()
    monkeypatch.setattr(ph2p, "CANDIDATES", 50)
    search.advance(0)
    assert len(drawn) == 7


def test_a_step_has_twenty_closures():
    assert ph2p.CLOSURES == torch.optim.LBFGS([torch.zeros(1)], lr=0.8).param_groups[0]["max_iter"] == 20


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
    monkeypatch.setattr(ph2p, "CLOSURES", 2)
    run = attack_on(
        model, clip, lambda images: judged.append(images) or never_right(images), steps=4, lr=20.0
    )
    results = run.run(PROMPTS, targets).prompts
    assert len(passed) == 4 and len(judged) == 3  # the plain prompts, blank ones, one picture each
    wanted = picture_features(clip, model.decode_latents(targets))
    pictures = [generate_pictures(model, PROMPTS, FAST, texts) for texts in passed]
    likeness = torch.stack([(picture_features(clip, images) * wanted).sum(-1) for images in pictures])
    for row, best in enumerate(likeness.argmax(0).tolist()):
        assert len({texts[row] for texts in passed}) > 1
        assert results[row].adversarial == passed[best][row]
        assert torch.allclose(judged[2][row], pictures[best][row], atol=1e-4)


def test_the_batch_size_changes_nothing(model, clip, monkeypatch):
    monkeypatch.setattr(ph2p, "CLOSURES", 2)
    targets = target_latents(model)

    def outcome(batch):
        attack = attack_on(model, clip, steps=3, lr=2.0)
        attack.batch = batch
        return attack.run(PROMPTS, targets)

    together = outcome(2)
    assert together == outcome(1) and together.flags == []


def test_it_needs_a_clip_model(model):
    with pytest.raises(UserError, match="PH2P needs a CLIP model"):
        attack_on(model, None)
