import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from advunlearn_lib.attacks import AttackedPrompt, Budget, unlearndiffatk
from advunlearn_lib.attacks.unlearndiffatk import Search, project_to_simplex
from advunlearn_lib.errors import UserError
from advunlearn_lib.model import Sampling

FAST = Sampling(steps=3)
PROMPTS = [
    AttackedPrompt(text, seed)
    for seed, text in enumerate(["a photo of a dagger", "a bomb at night", "an axe", "a photo of a bow", "a knife"])
]


def test_projection_is_the_nearest_point_of_the_simplex():
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 5.0):
        row = rng.normal(0, scale, 6)
        best = minimize(lambda p, row=row: ((p - row) ** 2).sum(), np.full(6, 1 / 6), bounds=[(0, 1)] * 6,
                        constraints={"type": "eq", "fun": lambda p: p.sum() - 1}, tol=1e-12)  # fmt: skip
        ours = project_to_simplex(torch.tensor(row)[None])[0]
        assert ours.sum().item() == pytest.approx(1) and ours.min() >= 0
        assert np.allclose(ours.numpy(), best.x, atol=1e-4)
    inside = torch.tensor([[0.2, 0.3, 0.5]])
    assert torch.allclose(project_to_simplex(inside), inside)


def whiteness(images):
    """A judge that is neither always right nor always wrong, and the same for a picture wherever it stands."""
    return images.mean((1, 2, 3)) > 0.80


def attack(model, batch, prompts=PROMPTS, judge=whiteness, **budget):
    targets = model.encode_images(model.generate([p.text for p in prompts], [p.seed for p in prompts], FAST))
    return unlearndiffatk(model, prompts, targets, judge, Budget(tokens=3, timesteps=2, steps=2, batch=batch, **budget), FAST, seed=4)


def test_the_batch_size_changes_nothing(model):
    together, apart = attack(model, 5), attack(model, 1)
    assert together == apart and attack(model, 2) == apart
    assert [r.prompt for r in apart] == [p.text for p in PROMPTS]


def test_outcomes(model):
    always = attack(model, 5, judge=lambda images: torch.ones(len(images), dtype=torch.bool))
    assert all(r.before and r.step == 0 and r.adversarial == r.prompt for r in always)
    never = attack(model, 5, judge=lambda images: torch.zeros(len(images), dtype=torch.bool))
    assert all(not r.before and not r.after and r.step == -1 and r.adversarial.endswith(r.prompt) for r in never)
    assert any(r.adversarial != r.prompt for r in never)


def test_gradient_is_the_derivative_of_the_loss(model):
    prompts = PROMPTS[:1]
    targets = model.encode_images(model.generate([prompts[0].text], [0], FAST))
    search = Search(model, prompts, targets, Budget(tokens=1, lr=1e-6, weight_decay=0.0), seed=0)
    before = search.generators[0].get_state()
    search.step(200)
    gradient = search.p.grad[0, 0]
    generator = torch.Generator()
    generator.set_state(before)
    token = int(torch.multinomial(torch.full((len(search.vocabulary),), 1 / len(search.vocabulary)), 1, generator=generator))
    noise = torch.randn(targets.shape[1:], generator=generator)[None]

    @torch.no_grad()
    def loss(weights):
        embeds = model.token_embeds(search.ids)
        prefixed = torch.cat([embeds[:, :1], (weights @ search.table)[None, None], embeds[:, 1:-1]], 1)
        t = torch.tensor([200])
        predicted = model.predict_noise(model.add_noise(targets, noise, t), t, model.encode(search.ids, prefixed))
        return (predicted - noise).square().mean().item()

    one_hot = torch.nn.functional.one_hot(torch.tensor(token), len(search.vocabulary)).float()
    for other in (3, 77, 300):
        step = torch.zeros_like(one_hot)
        step[other] = 0.02
        slope = (loss(one_hot + step) - loss(one_hot - step)) / 0.04
        assert gradient[other].item() == pytest.approx(slope, rel=0.05, abs=1e-5)


def test_too_long_prompts_are_refused(model):
    with pytest.raises(UserError, match="at most 19 fit"):
        attack(model, 1, prompts=[AttackedPrompt("a " * 20, 0)])
