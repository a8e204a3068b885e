"""Cheaper inner attacks of AdvUnlearn: what each does and does not, and that nothing else has changed."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from tasks import RETAIN, generator, task_on

from advunlearn_lib.diffusion.token_edit import place
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.cheaper_attack import CheaperAttackOptions
from advunlearn_lib.erasure.loop import prepare, train

NEW = {"attack_every": 1, "attack_points": 1, "free_attack": False}
SMALL = {
    "steps": 4, "per_prompt": 2, "retain_per_prompt": 1, "retain_batch": 2, "warm_up": 0, "attack_steps": 3,
    "attack_step": "sign", "attack_lr": 0.01,
}  # fmt: skip


def prepared(model, *concept, **options):
    return prepare("advunlearn", task_on(model, list(concept), RETAIN), SMALL | options)


def counted(method, monkeypatch):
    """The sizes of the batches that go through the method's UNet, as they come."""
    seen, predict = [], method.model.predict_noise

    def note(latents, timesteps, embeds):
        seen.append(len(latents))
        return predict(latents, timesteps, embeds)

    monkeypatch.setattr(method.model, "predict_noise", note)
    return seen


def test_a_recipe_names_them_where_they_are_set_alone():
    assert set(CheaperAttackOptions.model_fields) >= set(NEW)
    assert not set(NEW) & set(AdvUnlearnOptions().model_dump()) and AdvUnlearnOptions(**NEW).model_dump() == (
        AdvUnlearnOptions().model_dump()
    )
    for name, value in {"attack_every": 4, "attack_points": 2, "free_attack": True}.items():
        dumped = AdvUnlearnOptions(**{name: value}).model_dump()
        assert {key for key in NEW if key in dumped} == {name} and dumped[name] == value
        assert AdvUnlearnOptions(**dumped) == AdvUnlearnOptions(**{name: value})


@pytest.mark.parametrize(("steps", "rate"), [(30, 0.001), (4, 0.0125), (1, 0.02)])
def test_the_cheap_scheme_is_one_step_as_far_from_the_last_attack(steps, rate):
    cheap = AdvUnlearnOptions(attack_scheme="cheap", attack_steps=steps, attack_lr=rate)
    assert (cheap.attack_steps, cheap.init) == (1, "latest")
    assert cheap.attack_lr == pytest.approx(steps * rate)
    assert AdvUnlearnOptions(**cheap.model_dump()) == cheap  # as a card is read
    explicit = AdvUnlearnOptions(attack_steps=1, attack_lr=steps * rate, init="latest")
    assert explicit.model_dump() | {"attack_scheme": "cheap"} == cheap.model_dump()


def test_the_cheap_scheme_of_nothing_is_nothing_and_bad_numbers_are_refused():
    assert AdvUnlearnOptions(attack_scheme="cheap").attack_lr == pytest.approx(30 * 0.001)  # the paper's
    assert AdvUnlearnOptions(attack_scheme="cheap", attack_steps=0).attack_steps == 0
    for bad in ({"attack_steps": "many"}, {"attack_lr": "fast"}, {"attack_steps": -1}):
        with pytest.raises(ValidationError, match=next(iter(bad))):
            AdvUnlearnOptions(attack_scheme="cheap", **bad)
    with pytest.raises(ValidationError, match="'paper' or 'cheap'"):
        AdvUnlearnOptions(attack_scheme="free")


@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_goes_down_the_mean_over_its_points(model, batch):
    which = torch.arange(batch)
    method = prepared(model, "tench", "church", attack_points=4, attack_steps=1)
    words, drawn = method.attack(which, generator(5)), generator(5)
    prompts = method.bank.prompt_of(which)
    ids, counts = method.tokens(prompts)
    start = method.start(prompts, counts, drawn)
    points = method.sample_points(which.repeat_interleave(4), drawn)
    clean, moved = model.token_embeds(ids), start.detach().clone()
    for row in range(batch):  # each prompt by itself, one point after the other
        gradients = []
        for point in range(4 * row, 4 * row + 4):
            d = start[row : row + 1].detach().clone().requires_grad_(True)
            embeds = model.encode(
                ids[row : row + 1], place(clean[row : row + 1], d, counts[row : row + 1], "prefix")
            )
            one = slice(point, point + 1)
            seen = model.predict_noise(points.latents[one], points.timesteps[one], embeds)
            gradients.append(torch.autograd.grad(F.mse_loss(seen, points.eps_prompt[one]), d)[0])
        moved[row] -= 0.01 * torch.stack(gradients).mean(0)[0].sign()
    wanted = place(clean, moved, counts, "prefix")
    assert torch.isclose(words, wanted, atol=1e-6).float().mean() > 0.999  # a sign of almost nothing may flip


def test_between_attacks_the_last_one_stands_and_the_unet_is_spared(model, monkeypatch):
    method = prepared(model, "tench", attack_every=3)
    seen, kept = counted(method, monkeypatch), []
    for iteration in range(6):
        method.loss(iteration, generator(iteration))
        kept.append(method.state["d0"].clone())
    attacked, spared = [1, 1, 1, 1, 2], [1, 2]  # three steps, the loss, two retain prompts
    assert seen == [*attacked, *spared, *spared, *attacked, *spared, *spared]
    assert (
        torch.equal(kept[0], kept[2]) and torch.equal(kept[3], kept[5]) and not torch.equal(kept[2], kept[3])
    )


def test_the_first_attack_comes_when_the_warm_up_is_over(model, monkeypatch):
    method = prepared(model, "tench", attack_every=3, warm_up=2)
    seen = counted(method, monkeypatch)
    for iteration in range(4):
        method.loss(iteration, generator(iteration))
    assert seen == [1, 2, 1, 2, 1, 1, 1, 1, 2, 1, 2] and "d0" in method.state


def test_free_training_takes_no_step_of_its_own_and_goes_up_the_loss(model, monkeypatch):
    method = prepared(model, "tench", free_attack=True, retain_weight=0)
    seen = counted(method, monkeypatch)
    method.state = {"d0": model.embedding_table()[7:8].detach().clone()}
    first = method.state["d0"].clone()
    method.backward(0, generator(3))
    assert seen == [1]
    moved = method.state["d0"] - first
    assert torch.allclose(moved.abs(), torch.full_like(moved, 0.01), atol=1e-6)  # every coordinate one step

    def loss_at(d):
        method.state = {"d0": d.clone()}
        return method.loss(0, generator(3)).item()

    assert loss_at(first + moved) > loss_at(first) > loss_at(first - moved)
    assert all(parameter.grad is not None for parameter in method.trained.values())


@pytest.mark.parametrize(
    "options", [{"attack_every": 2}, {"attack_points": 2}, {"free_attack": True}], ids=str
)
def test_a_stopped_training_goes_on_as_if_it_had_not_been(model, tmp_path, options):
    def trained(iterations, path):
        method = prepared(model, "tench", "church", iterations=iterations, lr=1e-4, **options)
        return train(method, 0, path, save_every=0) if path else train(method, 0)

    whole, path = trained(4, None), tmp_path / "checkpoint.safetensors"
    trained(2, path)
    assert trained(4, path).losses == whole.losses
