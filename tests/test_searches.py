"""Each attack's own mathematics: projections, gradients, objectives."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from advunlearn_lib.attacks.p4d import nearest_by_cosine
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.unlearndiffatk import SimplexSearch, UnlearnDiffAtk, project_to_simplex
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling

FAST = Sampling("dpm++", 3, 5.0)
PROMPTS = [
    EvaluationPrompt(text, seed)
    for seed, text in enumerate(["a photo of a dagger", "a bomb at night", "an axe"])
]


def never_right(images):
    return torch.zeros(len(images), dtype=torch.bool)


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


def test_each_row_of_a_batch_is_projected_by_itself():
    rows = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([project_to_simplex(row[None])[0] for row in rows.flatten(0, 1)])
    assert torch.allclose(project_to_simplex(rows).flatten(0, 1), alone)


def test_nearest_row_is_found_as_a_plain_loop_finds_it(model):
    table = model.text_encoder.get_input_embeddings().weight.detach()
    rows = torch.randn(2, 3, table.shape[1], generator=torch.Generator().manual_seed(0))
    for row, index in zip(rows.flatten(0, 1), nearest_by_cosine(rows, table).flatten()):
        cosines = [float(row @ other / row.norm() / other.norm()) for other in table]
        assert cosines[index] == pytest.approx(max(cosines), abs=1e-6)


def started(model, clip, name, rounds=1, **budget):
    """An attack on three prompts with its search state."""
    prompts = PROMPTS[:3]
    targets = model.encode_images(model.generate([p.text for p in prompts], [p.seed for p in prompts], FAST))
    filled = ATTACKS[name].BUDGET(tokens=3, timesteps=rounds, **budget)
    run = ATTACKS[name](model, never_right, filled, FAST, original=model, clip=clip)
    run.prepare(prompts, targets)
    return run, run.search(prompts, targets), targets


def test_pez_finds_prompts_nearer_to_the_picture(model, clip):
    _, search, _ = started(model, clip, "PEZ", steps=30, lr=0.1)
    before = search.similarity(search.rows[search.tokens])
    search.advance(0)
    assert (search.similarity(search.rows[search.tokens]) >= search.reached - 1e-5).all() and (
        search.reached > before
    ).any()


def test_p4d_gradient_is_the_derivative_of_its_loss(model, clip):
    _, search, _ = started(model, clip, "P4D", steps=1, lr=1e-9)
    rows, states = search.table[search.best()].clone(), [g.get_state() for g in search.generators]
    search.step(200)
    for generator, state in zip(search.generators, states):
        generator.set_state(state)
    latents, _, timesteps = search.noisy(200)
    wanted = model.predict_noise(latents, timesteps, model.encode_prompts([p.text for p in PROMPTS[:3]]))
    direction = torch.randn(rows.shape, generator=torch.Generator().manual_seed(1)) * 1e-3

    @torch.no_grad()
    def loss(words):
        return (
            (model.predict_noise(latents, timesteps, search.prefixed(words)) - wanted)
            .square()
            .mean((1, 2, 3))
        )

    slope = (loss(rows + direction) - loss(rows - direction)) / 2
    ours = (search.variable.grad * direction).sum((1, 2))
    assert torch.allclose(ours, slope, rtol=0.05, atol=1e-7)


def test_tokens_are_those_that_multinomial_draws(model):
    """For each prompt by its own generator, which is then where multinomial leaves it."""
    attack = UnlearnDiffAtk(model, never_right, Budget(tokens=4), FAST)
    search = SimplexSearch(attack, PROMPTS[:2], torch.zeros(2, *model.latent_shape()))
    search.variable.data = torch.rand(search.variable.shape).square().softmax(-1)
    search.variable.data[:, :, 5::2] = 0  # as projection leaves it
    before = [generator.get_state() for generator in search.generators]
    drawn = search.sampled()
    for row, p, state, generator in zip(drawn, search.variable, before, search.generators, strict=True):
        other = torch.Generator()
        other.set_state(state)
        assert torch.equal(row, torch.multinomial(p.detach(), 1, generator=other)[:, 0])
        assert torch.equal(other.get_state(), generator.get_state())


def test_gradient_is_the_derivative_of_the_loss(model):
    prompts = PROMPTS[:1]
    targets = model.encode_images(model.generate([prompts[0].text], [0], FAST))
    search = SimplexSearch(
        UnlearnDiffAtk(model, never_right, Budget(tokens=1, lr=1e-6, weight_decay=0.0), FAST),
        prompts,
        targets,
    )
    before = search.generators[0].get_state()
    search.step(200)
    gradient = search.variable.grad[0, 0]
    generator = torch.Generator()
    generator.set_state(before)
    token = int(
        torch.multinomial(
            torch.full((len(search.vocabulary),), 1 / len(search.vocabulary)), 1, generator=generator
        )
    )
    noise = torch.randn(targets.shape[1:], generator=generator)[None]

    @torch.no_grad()
    def loss(weights):
        embeds = model.token_embeds(search.ids)
        prefixed = torch.cat([embeds[:, :1], (weights @ search.table)[None, None], embeds[:, 1:-1]], 1)
        t = torch.tensor([200])
        predicted = model.predict_noise(
            model.add_noise(targets, noise, t), t, model.encode(search.ids, prefixed)
        )
        return (predicted - noise).square().mean().item()

    one_hot = torch.nn.functional.one_hot(torch.tensor(token), len(search.vocabulary)).float()
    for other in (3, 77, 300):
        step = torch.zeros_like(one_hot)
        step[other] = 0.02
        slope = (loss(one_hot + step) - loss(one_hot - step)) / 0.04
        assert gradient[other].item() == pytest.approx(slope, rel=0.05, abs=1e-5)


def test_distributions_begin_equal_and_stay_distributions_whatever_the_gradient(model, clip, monkeypatch):
    _, search, _ = started(model, clip, "UnlearnDiffAtk", lr=0.5)
    size, plain = len(search.vocabulary), model.predict_noise
    assert torch.equal(search.variable.detach(), torch.full((3, 3, size), 1 / size))
    monkeypatch.setattr(model, "predict_noise", lambda *given: 1e4 * plain(*given), raising=False)
    search.step(200)
    assert (search.variable.grad.min(), search.variable.grad.max()) == (-1, 1)  # it is clipped
    rows = search.variable.detach()
    assert rows.min() >= 0 and torch.allclose(rows.sum(-1), torch.ones(3, 3), atol=1e-5)
    assert (rows == 0).any()


def test_a_prompts_gradient_is_the_same_alone(model, clip):
    run, together, targets = started(model, clip, "UnlearnDiffAtk")
    together.step(200)
    for number in range(3):
        alone = run.search(PROMPTS[number : number + 1], targets[number : number + 1])
        alone.step(200)
        assert torch.allclose(together.variable.grad[number], alone.variable.grad[0], rtol=1e-3, atol=1e-7)


def test_the_likeliest_tokens_are_taken(model, clip):
    _, search, _ = started(model, clip, "UnlearnDiffAtk")
    wanted = torch.tensor([[5, 0, 7], [1, 2, 3], [9, 9, 300]])
    search.variable.data.scatter_(-1, wanted[..., None], 0.5)
    assert torch.equal(search.best(), wanted)


def noises(model, clip, name, quirks):
    """The noises of each of three rounds of two steps, one row a prompt, and each round's texts."""
    _, search, _ = started(model, clip, name, rounds=3, steps=2, quirks=quirks)
    seen, plain, texts = [], search.noise, []

    def noise():
        seen.append(plain())
        return seen[-1]

    search.noise = noise
    for number in range(3):
        search.advance(number)
        texts.append(search.texts())
    return torch.stack(seen).unflatten(0, (3, 2)), texts


@pytest.mark.parametrize("name", ["UnlearnDiffAtk", "P4D"])
def test_every_round_draws_the_same_noises_with_the_quirk(model, clip, name):
    free, _ = noises(model, clip, name, ())
    same, _ = noises(model, clip, name, ("reseeded_evaluation",))
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2])
    drawn = torch.cat([free.flatten(0, 2), same[0].flatten(0, 1)]).flatten(1)
    begins = len(PROMPTS) * 2 if name == "UnlearnDiffAtk" else 0  # the first round is the free search's too
    assert len(drawn.unique(dim=0)) == 4 * 2 * len(PROMPTS) - begins


def test_each_prompt_begins_its_own_random_numbers_anew(model, clip):
    _, search, _ = started(model, clip, "UnlearnDiffAtk", rounds=2, steps=1, quirks=("reseeded_evaluation",))
    search.advance(0)
    first = [generator.get_state() for generator in search.generators]
    search.keep([2, 0])
    search.advance(1)
    states = [generator.get_state() for generator in search.generators]
    assert torch.equal(states[0], first[2]) and torch.equal(states[1], first[0])
    assert not torch.equal(states[0], states[1])


@pytest.mark.parametrize("name", ["PEZ", "PH2P", "CCE", "random", "none"])
def test_other_attacks_have_no_quirks(model, clip, name):
    with pytest.raises(UserError, match="unknown quirk 'reseeded_evaluation'"):
        started(
            model, clip, name, quirks=("reseeded_evaluation",), **{"word": "church"} if name == "CCE" else {}
        )
