"""The quirk noise_level_mismatch: which states are drawn, which timestep is told, what the targets are."""

import pytest
import torch
from tasks import RETAIN, generator, task_on

from advunlearn_lib.erasure.loop import prepare

STEPS, WIDTH = 5, 200
SMALL = {"steps": STEPS, "per_prompt": 3, "quirks": {"noise_level_mismatch"}}
CONCEPT = ["church", "a photo of a church"]


def advunlearn(model, **options):
    own = {"retain_per_prompt": 2, "retain_batch": 4, "attack_steps": 0, "same_path": True}
    return prepare("advunlearn", task_on(model, CONCEPT, RETAIN), SMALL | own | options)


def grid_index(bank, latents, which):
    """Which state of its path each of ``latents`` is."""
    paths = bank.table["latents"][which].to(latents)
    return (paths - latents[:, None]).abs().flatten(2).amax(-1).argmin(-1)


def check(model, bank, prompts, batch, which):
    """States and told timesteps belong together, and targets are the frozen answers at the told ones."""
    index, k = grid_index(bank, batch.latents, which), batch.timesteps // WIDTH
    assert index.min() >= 2 and set(k.tolist()) == set(range(STEPS))
    assert index.tolist() == [min(STEPS + 1 - drawn, STEPS - 1) for drawn in k.tolist()]
    for row in range(0, len(which), 7):
        z, t = batch.latents[row : row + 1], batch.timesteps[row : row + 1]
        for text, answer in (("", batch.eps_empty), (prompts[batch.prompt[row]], batch.eps_prompt)):
            with torch.no_grad():
                ours = model.predict_noise(z, t, model.encode_prompts([text]))[0]
            assert torch.allclose(ours, answer[row], atol=1e-4), (row, text)


@pytest.mark.parametrize("method", ["esd", "advunlearn"])
def test_the_concepts_points(model, method):
    ready = prepare("esd", task_on(model, CONCEPT), SMALL) if method == "esd" else advunlearn(model)
    which = torch.arange(6).repeat(24)
    batch = ready.sample_points(which, generator())
    check(model, ready.bank, CONCEPT, batch, which)
    for k in range(STEPS):  # all over the timesteps of each step
        told = batch.timesteps[batch.timesteps // WIDTH == k] - WIDTH * k
        assert told.min() < 0.2 * WIDTH and told.max() > 0.8 * WIDTH


def test_the_retain_batch(model, monkeypatch):
    method, seen = advunlearn(model), []
    for seed in range(12):
        which = method.retain.paths_of(method.retain_prompts(seed), generator(seed))
        monkeypatch.setattr(
            method,
            "predict",
            lambda batch, embeds, which=which: seen.append((batch, which)) or batch.eps_prompt,
        )
        assert method.retain_loss(seed, generator(seed)).item() == 0
    columns = ("latents", "timesteps", "eps_empty", "eps_prompt", "prompt")
    joined = {name: torch.cat([getattr(batch, name) for batch, _ in seen]) for name in columns}
    check(model, method.retain, RETAIN, type(seen[0][0])(**joined), torch.cat([which for _, which in seen]))


def test_the_retain_loss_is_of_the_told_timesteps(model):
    method = advunlearn(model, retain_batch=3)
    ours, rng = method.retain_loss(0, generator()), generator()
    which = method.retain.paths_of(method.retain_prompts(0), rng)
    batch = method.points_on(method.retain, which, rng)
    total = 0.0
    with torch.no_grad():
        for row in range(3):
            z, t = batch.latents[row : row + 1], batch.timesteps[row : row + 1]
            prompt = RETAIN[which[row] // 2]
            answers = [one.predict_noise(z, t, one.encode_prompts([prompt])) for one in (method.model, model)]
            total += (answers[0] - answers[1]).square().mean().item() / 3
    assert ours.item() == pytest.approx(total, abs=1e-8)


def test_an_odd_number_of_steps_stays_within_the_schedule(model):
    method = prepare(
        "esd", task_on(model, ["church"]), {"steps": 3, "per_prompt": 1} | {"quirks": SMALL["quirks"]}
    )
    batch = method.sample_points(torch.zeros(90, dtype=torch.long), generator())
    assert batch.timesteps.min() >= 0 and batch.timesteps.max() < 999
    assert set(grid_index(method.bank, batch.latents, torch.zeros(90, dtype=torch.long)).tolist()) == {2}


def test_without_the_quirk_each_state_has_its_own_timestep(model):
    method = prepare("esd", task_on(model, CONCEPT), SMALL | {"quirks": set()})
    which = torch.arange(6).repeat(20)
    batch = method.sample_points(which, generator())
    index = grid_index(method.bank, batch.latents, which)
    assert set(index.tolist()) == set(range(STEPS))
    assert batch.timesteps.tolist() == [1 + WIDTH * (STEPS - 1 - j) for j in index.tolist()]
    assert torch.equal(batch.eps_prompt, method.bank.at(which, index).eps_prompt)
