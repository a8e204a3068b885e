"""AdvUnlearn's inner attack, the noise it sees, its retain prompts, and the quirks of its official code."""

import pytest
import torch
import torch.nn.functional as F
from tasks import task_on

from advunlearn_lib.diffusion.token_edit import place
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.official import OfficialAdvUnlearn, OfficialESD
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET

PATHS = torch.arange(4)
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]
SMALL = {"steps": 4, "per_prompt": 4}
SIGNED = {"attack_step": "sign", "attack_lr": 1.25e-2}
ADVERSARIAL = SMALL | SIGNED | {"attack_steps": 2, "warm_up": 0, "retain_batch": 4}


@pytest.mark.parametrize(("step", "rate"), [("sign", 1e-4), ("gradient", 1e-2)])
def test_attack_lowers_the_attack_loss_by_one_step(model, step, rate):
    method = prepare(
        "advunlearn",
        task_on(model, ["tench"]),
        ADVERSARIAL | {"attack_steps": 1, "attack_lr": rate, "attack_step": step, "retain_weight": 0},
    )
    generator = torch.Generator().manual_seed(1)
    words = method.attack(PATHS, generator)
    generator = torch.Generator().manual_seed(1)
    table = model.text_encoder.get_input_embeddings().weight
    start = table[torch.randint(len(table), (4, 1), generator=generator)].clone().requires_grad_(True)
    batch, ids = method.sample_points(PATHS, generator), method.ids.expand(4, -1)
    clean = model.token_embeds(ids)
    embeds = model.encode(ids, place(clean, start, [2] * 4, "prefix"))
    loss = F.mse_loss(model.predict_noise(batch.latents, batch.timesteps, embeds), batch.eps_prompt)
    (gradient,) = torch.autograd.grad(4 * loss, start)  # each prompt's own loss, not a quarter of it
    moved = gradient.sign() if step == "sign" else gradient
    assert torch.allclose(words[:, 1:2], start - rate * moved, atol=1e-7)
    assert torch.equal(words[:, 2:4], clean[:, 1:3])  # both tokens of "tench" stay
    after = F.mse_loss(
        model.predict_noise(batch.latents, batch.timesteps, model.encode(ids, words)), batch.eps_prompt
    )
    assert after < loss


def test_the_papers_attack_descends_the_gradient_and_fast_at_its_sign():
    for profile, usual in ((PAPER, ("gradient", 30, 1e-3)), (POCKET, ("sign", 4, 1.25e-2))):
        for variant, wanted in (("AT (30 steps)", usual), ("Fast AT (1 step)", ("sign", 1, usual[2]))):
            row = Row("nudity", "AdvUnlearn", "Text Encoder", variant)
            options = Protocol(profile).options(row)[1].model_dump()
            names = ("attack_step", "attack_steps", "attack_lr")
            assert tuple(options[name] for name in names) == wanted


def signs_of_sums(model, steps, lr):
    """A slow plain loop of the attack whose gradients pile up."""
    method = prepare("advunlearn", task_on(model, ["tench"]), ADVERSARIAL | {"retain_weight": 0})
    generator, total = torch.Generator().manual_seed(1), 0.0
    ids = method.ids.expand(4, -1)
    table, clean = model.text_encoder.get_input_embeddings().weight, model.token_embeds(ids)
    d = table[torch.randint(len(table), (4, 1), generator=generator)].clone()
    for _ in range(steps):
        batch, d = method.sample_points(PATHS, generator), d.detach().requires_grad_(True)
        embeds = model.encode(ids, place(clean, d, [2] * 4, "prefix"))
        total = (
            total
            + torch.autograd.grad(
                F.mse_loss(model.predict_noise(batch.latents, batch.timesteps, embeds), batch.eps_prompt), d
            )[0]
        )
        d = d - lr * total.sign()
    return d.detach()


@pytest.mark.parametrize(("name", "official"), [("esd", OfficialESD), ("advunlearn", OfficialAdvUnlearn)])
def test_a_quirk_brings_the_official_codes_class_and_nothing_else_does(model, name, official):
    kind, task = METHODS[name], task_on(model, ["church"], RETAIN)
    plain = {"steps": 2, "per_prompt": 1, "component": "text_encoder", "group": "full"}
    assert type(kind(task, kind.OPTIONS(**plain))) is kind
    for quirk in kind.OPTIONS.QUIRKS:
        assert type(kind(task, kind.OPTIONS(**plain, quirks={quirk}))) is official


def test_quirks_do_what_they_say(model):
    def attacked(quirks, steps=2, **extra):
        options = ADVERSARIAL | {"attack_steps": steps, "retain_weight": 0, "quirks": quirks} | extra
        return prepare("advunlearn", task_on(model, ["tench"]), options).attack(
            PATHS, torch.Generator().manual_seed(1)
        )

    plain, one_step = attacked(set()), attacked(set(), steps=1)
    assert torch.equal(attacked({"drop_last_update"}), one_step) and not torch.equal(one_step, plain)
    table = model.text_encoder.get_input_embeddings().weight
    row = attacked({"drop_last_update"}, steps=1)[0, 1]
    assert (table - row).abs().sum(-1).min() < 1e-5  # its only update dropped: an un-attacked vocabulary row

    tench = model.token_embeds(model.tokenize(["tench"]))
    assert torch.equal(plain[:, 2:4], tench[:, 1:3].expand(4, -1, -1))
    lost = attacked({"word_count"})
    assert all(
        torch.equal(row[2], tench[0, 1]) and torch.equal(row[3], tench[0, 3]) for row in lost
    )  # the second token is gone

    assert not torch.equal(attacked({"adam_attack"}), plain)
    steady = attacked({"accumulate_gradients"}, steps=3, attack_lr=1e-6)
    summed = signs_of_sums(model, steps=3, lr=1e-6)
    assert torch.allclose(steady[:, 1:2], summed, atol=1e-7)


def test_with_a_signed_buffer_the_first_sign_decides(model):
    options = {"attack_steps": 4, "attack_step": "sign", "attack_lr": 1e-3, "retain_weight": 0, "warm_up": 0}
    lr, quirks = options["attack_lr"], {"signed_buffer"}

    def moved(steps, scale, quirks):
        method = prepare(
            "advunlearn",
            task_on(model, ["tench"]),
            SMALL | options | {"attack_steps": steps, "quirks": quirks},
        )
        plain = method.gradient
        method.gradient = lambda *point, **counts: scale * plain(*point, **counts)
        words = method.attack(PATHS, torch.Generator().manual_seed(1))[:, 1:2]
        generator, table = torch.Generator().manual_seed(1), model.embedding_table()
        return words - table[torch.randint(len(table), (4, 1), generator=generator)]

    first, straight = moved(1, 1.0, quirks), moved(4, 1.0, quirks)  # gradients are far below 1
    assert torch.allclose(first.abs(), torch.tensor(lr), atol=1e-6)
    assert torch.allclose(straight, 4 * first, atol=1e-6)
    assert not torch.allclose(moved(4, 1.0, set()), 4 * first, atol=1e-6)
    assert not torch.allclose(moved(4, 1.0, {"accumulate_gradients"}), 4 * first, atol=1e-6)
    assert not torch.allclose(
        moved(4, 1e8, quirks), 4 * moved(1, 1e8, quirks), atol=1e-6
    )  # above 1 they count


def test_latest_init_starts_from_the_last_attack(model):
    method = prepare(
        "advunlearn",
        task_on(model, ["church"]),
        ADVERSARIAL | {"init": "latest", "retain_weight": 0, "attack_lr": 1e-9},
    )
    first = method.attack(PATHS, torch.Generator().manual_seed(1))
    again = method.attack(PATHS, torch.Generator().manual_seed(2))
    assert torch.allclose(again, first[-1:].expand(4, -1, -1), atol=1e-6)


def paths_drawn(method, monkeypatch):
    """The paths of the concept, and of the retain set, that are drawn from here on."""
    drawn = []
    for bank in (method.bank, method.retain):
        plain, seen = bank.at, []
        monkeypatch.setattr(
            bank, "at", lambda which, step, plain=plain, seen=seen: seen.append(which) or plain(which, step)
        )
        drawn.append(seen)
    return drawn


@pytest.mark.parametrize("same_path", [False, True])
def test_each_step_of_the_attack_and_the_loss_see_another_noise(model, monkeypatch, same_path):
    options = {"attack_steps": 6, "per_prompt": 9, "batch": 3, "same_path": same_path, "steps": 2}
    method = prepare("advunlearn", task_on(model, ["church", "tench"], RETAIN), ADVERSARIAL | options)
    seen, retained = paths_drawn(method, monkeypatch)
    method.loss(0, torch.Generator().manual_seed(3))
    drawn = torch.stack(seen)  # [K + 1, b]
    assert drawn.shape == (7, 3) and len(retained) == 1
    assert (drawn // 9 == drawn[0] // 9).all()  # of the same prompt
    assert (drawn // 9).unique().tolist() == [0, 1]
    for column in drawn.T:
        assert (len(column.unique()) == 1) == same_path


def test_sampling_from_scratch_meets_no_noise_twice(model, monkeypatch):
    options = {"attack_steps": 3, "per_prompt": 1, "retain_per_prompt": 1, "resample": True, "steps": 2}
    method = prepare("advunlearn", task_on(model, ["church"], RETAIN), ADVERSARIAL | options)
    seeds, plain = [], type(model).noise
    monkeypatch.setattr(type(model), "noise", lambda self, some: seeds.extend(some) or plain(self, some))
    for iteration in range(3):
        method.loss(iteration, torch.Generator().manual_seed(iteration))
    assert len(set(seeds)) == len(seeds) == 3 * (3 + 1 + 4)


def test_retain_prompts_run_through_the_list_before_one_comes_again(model):
    retain = [f"a photo of a dog {number}" for number in range(11)]
    options = ADVERSARIAL | {"retain_batch": 3, "retain_per_prompt": 1, "attack_steps": 0, "steps": 2}
    method, again = (prepare("advunlearn", task_on(model, ["church"], retain), options) for _ in range(2))
    rounds = []
    for first in range(0, 9, 3):  # 11 prompts: three batches of three, then two are left
        prompts = torch.cat([method.retain_prompts(first + number) for number in range(3)]).tolist()
        assert len(set(prompts)) == 9 and set(prompts) <= set(range(11))
        rounds.append(prompts)
    assert len({tuple(one) for one in rounds}) == 3
    assert torch.equal(again.retain_prompts(7), method.retain_prompts(7))  # whoever resumes goes on there
    few = prepare("advunlearn", task_on(model, ["church"], retain[:2]), options)
    assert sorted(few.retain_prompts(5).tolist()) == [0, 1]


def test_a_separate_retain_step_is_a_second_one(model):
    quirk = ADVERSARIAL | {"quirks": {"separate_retain_step"}}
    method = prepare("advunlearn", task_on(model, ["church"], RETAIN), quirk)
    erase, retain = method.parts()
    rng = torch.Generator().manual_seed
    bare = prepare("advunlearn", task_on(model, ["church"]), ADVERSARIAL | {"retain_weight": 0})
    for iteration in (0, 1):  # both in each iteration
        assert erase(iteration, rng(1)) == pytest.approx(bare.loss(iteration, rng(1)).item(), rel=1e-4)
        assert retain(iteration, rng(2)) == method.retain_loss(iteration, rng(2)).item()
    assert len(prepare("advunlearn", task_on(model, ["church"], RETAIN), ADVERSARIAL).parts()) == 1
    without = quirk | {"retain_weight": 0}
    assert len(prepare("advunlearn", task_on(model, ["church"]), without).parts()) == 1
