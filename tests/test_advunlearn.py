"""AdvUnlearn's inner attack and the quirks of its official code."""

import torch
import torch.nn.functional as F

from advunlearn_lib.diffusion.token_edit import place
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.task import Task

PATHS = torch.arange(4)
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]
SMALL = {"steps": 4, "per_prompt": 4}
ADVERSARIAL = SMALL | {"attack_steps": 2, "attack_lr": 1.25e-2, "warm_up": 0, "retain_batch": 4}


def test_attack_lowers_the_attack_loss_and_steps_by_sign(model):
    method = prepare(
        "advunlearn",
        Task(model, ["tench"]),
        ADVERSARIAL | {"attack_steps": 1, "attack_lr": 1e-4, "retain_weight": 0},
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
    (gradient,) = torch.autograd.grad(loss, start)
    assert torch.allclose(words[:, 1:2], start - 1e-4 * gradient.sign(), atol=1e-7)
    assert torch.equal(words[:, 2:4], clean[:, 1:3])  # both tokens of "tench" stay
    after = F.mse_loss(
        model.predict_noise(batch.latents, batch.timesteps, model.encode(ids, words)), batch.eps_prompt
    )
    assert after < loss


def signs_of_sums(model, steps, lr):
    """A slow plain loop of the attack whose gradients pile up."""
    method = prepare("advunlearn", Task(model, ["tench"]), ADVERSARIAL | {"retain_weight": 0})
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


def test_quirks_do_what_they_say(model):
    def attacked(quirks, steps=2, **extra):
        options = ADVERSARIAL | {"attack_steps": steps, "retain_weight": 0, "quirks": quirks} | extra
        return prepare("advunlearn", Task(model, ["tench"]), options).attack(
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
    church = Task(model, ["church"], RETAIN)
    separate = prepare("advunlearn", church, ADVERSARIAL | {"quirks": {"separate_retain_step"}})
    assert (
        separate.loss(1, torch.Generator().manual_seed(0)).item()
        == separate.retain_loss(torch.Generator().manual_seed(0)).item()
    )


def test_with_a_signed_buffer_the_first_sign_decides(model):
    options = {"attack_steps": 4, "attack_lr": 1e-3, "retain_weight": 0, "warm_up": 0}
    lr, quirks = options["attack_lr"], {"signed_buffer"}

    def moved(steps, scale, quirks):
        method = prepare(
            "advunlearn", Task(model, ["tench"]), SMALL | options | {"attack_steps": steps, "quirks": quirks}
        )
        plain = method.predict
        method.predict = lambda batch, embeds: (
            batch.eps_prompt + scale * (plain(batch, embeds) - batch.eps_prompt)
        )
        words = method.attack(PATHS, torch.Generator().manual_seed(1))[:, 1:2]
        generator, table = torch.Generator().manual_seed(1), model.embedding_table()
        return words - table[torch.randint(len(table), (4, 1), generator=generator)]

    first, straight = moved(1, 1.0, quirks), moved(4, 1.0, quirks)  # gradients are far below 1
    assert torch.allclose(first.abs(), torch.tensor(lr), atol=1e-6)
    assert torch.allclose(straight, 4 * first, atol=1e-6)
    assert not torch.allclose(moved(4, 1.0, set()), 4 * first, atol=1e-6)
    assert not torch.allclose(moved(4, 1.0, {"accumulate_gradients"}), 4 * first, atol=1e-6)
    assert not torch.allclose(
        moved(4, 1e4, quirks), 4 * moved(1, 1e4, quirks), atol=1e-6
    )  # above 1 they count


def test_latest_init_starts_from_the_last_attack(model):
    method = prepare(
        "advunlearn",
        Task(model, ["church"]),
        ADVERSARIAL | {"init": "latest", "retain_weight": 0, "attack_lr": 1e-9},
    )
    first = method.attack(PATHS, torch.Generator().manual_seed(1))
    again = method.attack(PATHS, torch.Generator().manual_seed(2))
    assert torch.allclose(again, first[-1:].expand(4, -1, -1), atol=1e-6)
