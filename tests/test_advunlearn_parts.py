"""AdvUnlearn's options, and each part of its loss by itself: warm-up, an attack's start, retain prompts."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from tasks import RETAIN, generator, task_on

from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.erasure.advunlearn import AdvUnlearn
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.loop import prepare

USUAL = {  # the paper's, for nudity
    "component": "text_encoder", "group": "full", "attack_steps": 30, "attack_lr": 1e-3,
    "attack_step": "gradient", "attack_tokens": 1, "layout": "prefix", "init": "random", "warm_up": 200,
    "retain_weight": 0.3, "retain_batch": 5, "retain_per_prompt": 2, "same_path": False,
}  # fmt: skip
LOWEST = {
    "attack_steps": 0, "attack_tokens": 1, "warm_up": 0, "retain_weight": 0, "retain_batch": 1,
    "retain_per_prompt": 1,
}  # fmt: skip
QUIRKS = {
    "word_count", "drop_last_update", "accumulate_gradients", "signed_buffer", "adam_attack",
    "separate_retain_step", "noise_level_mismatch", "layer_prefix_match",
}  # fmt: skip
SMALL = {"steps": 2, "per_prompt": 2, "retain_per_prompt": 1, "retain_batch": 2, "warm_up": 0}


def test_options_are_the_papers_where_nothing_is_said():
    assert USUAL.items() <= AdvUnlearnOptions().model_dump().items()


def test_every_option_says_where_its_value_is_from_and_its_size_in_a_dry_run():
    marked = AdvUnlearnOptions.marked
    assert marked("source").keys() == AdvUnlearnOptions.model_fields.keys() - {"quirks"}
    of_esd = {"iterations": 2, "batch": 1, "steps": 2, "per_prompt": 1}
    assert marked("smallest") == of_esd | {"attack_steps": 2, "warm_up": 0, "retain_per_prompt": 1}


def test_options_say_what_they_take_up():
    assert AdvUnlearnOptions(attack_tokens=4).room() == 4
    assert AdvUnlearnOptions(batch=2, retain_batch=7).samples() == 7
    assert AdvUnlearnOptions(batch=8, retain_batch=7).samples() == 8
    assert AdvUnlearnOptions(retain_per_prompt=6).scaled(0.5).retain_per_prompt == 3
    for mark in ("room", "at_once", "scaled"):
        assert all(AdvUnlearnOptions.marked(mark).values())


@pytest.mark.parametrize(("name", "lowest"), [*LOWEST.items(), ("attack_lr", 1e-9)])
def test_options_have_a_lowest_value(name, lowest):
    assert getattr(AdvUnlearnOptions(**{name: lowest}), name) == lowest
    step = {"retain_weight": 0.1, "attack_lr": 1e-9}.get(name, 1)
    with pytest.raises(ValidationError, match="greater than"):
        AdvUnlearnOptions(**{name: lowest - step})


@pytest.mark.parametrize(
    ("steps", "others"),
    [(0, "signed_buffer"), (1, "accumulate_gradients"), (2, "signed_buffer"), (30, "signed_buffer")],
)
def test_the_official_codes_quirks_are_those_of_its_attack(steps, others):
    options = AdvUnlearnOptions(attack_steps=steps)
    assert options.QUIRKS.keys() == QUIRKS
    assert options.official_quirks() == QUIRKS - {others, "separate_retain_step"}


def test_a_retain_set_is_needed_where_its_loss_has_a_weight():
    assert AdvUnlearn.needs(AdvUnlearnOptions(retain_weight=0.5)) == ("retain_set",)
    assert AdvUnlearn.needs(AdvUnlearnOptions(retain_weight=0)) == ()
    assert (AdvUnlearn.LABEL, AdvUnlearn.SLOW) == ("AdvUnlearn", True)


def prepared(model, *concept, **options):
    """The method with few and short paths."""
    return prepare("advunlearn", task_on(model, list(concept), RETAIN), SMALL | options)


@pytest.mark.parametrize(("steps", "attacked"), [(0, []), (1, [3, 4]), (2, [3, 4])])
def test_nothing_is_attacked_until_the_warm_up_is_over(model, monkeypatch, steps, attacked):
    method, seen = prepared(model, "church", warm_up=3, attack_steps=steps), []
    plain = method.attack
    monkeypatch.setattr(method, "attack", lambda *given: seen.append(iteration) or plain(*given))
    for iteration in (0, 2, 3, 4):
        method.attacked_loss(iteration, generator())
    assert seen == attacked


def test_without_attack_the_loss_is_esds_and_the_weighted_retain_loss(model):
    method, rng = prepared(model, "church", "tench", attack_steps=0, retain_weight=0.7), generator()
    with torch.no_grad():
        for parameter in method.trained.values():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator()))
        found, batch = method.loss(1, generator()), method.sample_points(method.choose_paths(rng), rng)
        told = model.predict_noise(
            batch.latents, batch.timesteps, method.model.encode(method.ids[batch.prompt])
        )
        erase = F.mse_loss(told, 2 * batch.eps_empty - batch.eps_prompt)
        retain = method.retain_loss(1, rng)
    assert retain > 1e-4 and found.item() == pytest.approx((erase + 0.7 * retain).item(), rel=1e-5)


def test_a_model_that_has_learned_nothing_retains_all(model):
    method = prepared(model, "church")
    assert max(method.retain_loss(number, generator()).item() for number in range(3)) < 1e-8


def test_the_retain_sets_paths_begin_with_noise_of_their_own(model):
    method = prepared(model, "church")
    noise = torch.cat([bank.table["latents"][:, 0] for bank in (method.bank, method.retain)])
    assert len(noise.flatten(1).unique(dim=0)) == 2 + len(RETAIN)
    again = model.noise([derived_seed(method.task.seed + 1, path) for path in range(len(RETAIN))])
    assert torch.equal(method.retain.table["latents"][:, 0], again)


def test_the_order_of_retain_prompts_is_the_seeds_alone(model):
    task = task_on(model, ["church"], RETAIN, seed=4)
    method = prepare("advunlearn", task, SMALL | {"retain_batch": 2})
    for iteration in range(6):
        order = torch.randperm(4, generator=generator(derived_seed(6, iteration // 2)))
        assert torch.equal(method.retain_prompts(iteration), order.view(2, 2)[iteration % 2])


@pytest.mark.parametrize("layout", ["prefix", "suffix", "replace", "add"])
def test_an_attack_starts_from_rows_of_the_vocabulary(model, layout):
    method = prepared(model, "church", "tench", layout=layout, attack_tokens=3)
    method.state = {"d0": torch.ones(3, method.model.token_embeds(method.ids).shape[-1])}  # the last attack's
    start = method.start(torch.tensor([0, 1]), [1, 2], generator())
    table = model.embedding_table()
    rows = table[torch.randint(len(table), (2, 2 if layout == "add" else 3), generator=generator())]
    assert torch.equal(start, rows) and start.requires_grad


def test_the_last_attacks_rows_are_taken_as_far_as_there_are_any(model):
    """Added rows are as many as the longest prompt of a batch has tokens."""
    method = prepared(model, "church", "tench", layout="add", init="latest")
    fresh = method.start(torch.tensor([0, 1]), [1, 2], generator())
    ones = torch.ones_like(fresh[0])
    method.state = {"d0": ones[:1], "d1": torch.stack([2 * ones[0], 3 * ones[0]])}
    both = method.start(torch.tensor([0, 1]), [1, 2], generator())
    assert torch.equal(both[0], torch.stack([ones[0], fresh[0, 1]]))
    assert torch.equal(both[1], method.state["d1"])
    alone = method.start(torch.tensor([1]), [1], generator())
    assert torch.equal(alone[0], 2 * ones[:1])
