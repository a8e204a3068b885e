import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

from advunlearn_lib.api import erase
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.token_edit import place
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.parameters import UNET_GROUPS, select
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.profiles.pocket import POCKET

SMALL = {"steps": 4, "per_prompt": 4, "iterations": 4}
ADVERSARIAL = SMALL | {"attack_steps": 2, "retain_per_prompt": 1}
PATHS = torch.arange(4)
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]


def changed(model, other, component):
    before, after = (dict(getattr(m, component).named_parameters()) for m in (model, other))
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_esd_loss_is_the_formula(model):
    method = prepare("esd", Task(model, ["church"]), SMALL | {"batch": 3, "eta": 0.7})
    ours = method.loss(0, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    total = 0.0
    draw = method.draw(method.choose(generator), generator)
    for z, t, e0, ep in zip(draw.latents, draw.timesteps, draw.eps_empty, draw.eps_prompt):
        predicted = model.predict_noise(z[None], t[None], model.encode_prompts(["church"]))[0]
        total += F.mse_loss(predicted, e0 - 0.7 * (ep - e0)).item() / 3
    assert ours.item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(
    ("component", "group"),
    [("unet", "xattn"), ("unet", "noxattn"), ("text_encoder", "layers-2"), ("text_encoder", "full")],
)
def test_only_the_group_is_trained(model, component, group):
    erased = erase(model, "church", "esd", component=component, group=group, lr=1e-3, **SMALL)
    wanted = set(select(getattr(model, component), component, group))
    moved = changed(model, erased.model, component)
    assert moved <= wanted and len(moved) > 0.9 * len(wanted)
    other = "unet" if component == "text_encoder" else "text_encoder"
    assert getattr(erased.model, other) is getattr(model, other)


def test_groups(model):
    assert {n.split(".")[2] for n in select(model.text_encoder, "text_encoder", "layers-3")} <= {
        "0",
        "1",
        "2",
    }
    prefix = select(model.text_encoder, "text_encoder", "layers-2", prefix_match=True)
    assert {n.split("layers.")[1].split(".")[0] for n in prefix} == {"0", "1", "10", "11"}
    full = set(select(model.text_encoder, "text_encoder", "full"))
    assert not any("embed" in name for name in full) and any("final_layer_norm" in name for name in full)
    with pytest.raises(UserError, match="'xlayer' selects no parameter"):
        select(model.unet, "unet", "xlayer")


def test_unet_groups_on_stable_diffusions_own_architecture():
    with torch.device("meta"):  # UNet2DConditionModel's defaults are SD v1.x but for the text width
        unet = UNet2DConditionModel(cross_attention_dim=768)
    chosen = {group: select(unet, "unet", group) for group in UNET_GROUPS}
    assert sum(p.numel() for p in chosen["full"].values()) == 859_520_964
    assert len(chosen["xattn"]) == 16 * 5 and len(chosen["selfattn"]) == 16 * 5  # q, k, v, out and its bias
    assert len(chosen["xlayer"]) == 2 * 5 and len(chosen["selflayer"]) == 2 * 5
    assert not set(chosen["xattn"]) & set(chosen["noxattn"])
    left_out = set(chosen["full"]) - set(chosen["notime"])
    assert {name.split(".")[0] for name in left_out} == {"conv_norm_out", "conv_out", "time_embedding"}
    assert set(chosen["notime"]) == set(chosen["noxattn"]) | set(chosen["xattn"])


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
    draw, ids = method.draw(PATHS, generator), method.ids.expand(4, -1)
    clean = model.token_embeds(ids)
    embeds = model.encode(ids, place(clean, start, [2] * 4, "prefix"))
    loss = F.mse_loss(model.predict_noise(draw.latents, draw.timesteps, embeds), draw.eps_prompt)
    (gradient,) = torch.autograd.grad(loss, start)
    assert torch.allclose(words[:, 1:2], start - 1e-4 * gradient.sign(), atol=1e-7)
    assert torch.equal(words[:, 2:4], clean[:, 1:3])  # both tokens of "tench" stay
    after = F.mse_loss(
        model.predict_noise(draw.latents, draw.timesteps, model.encode(ids, words)), draw.eps_prompt
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
        draw, d = method.draw(PATHS, generator), d.detach().requires_grad_(True)
        embeds = model.encode(ids, place(clean, d, [2] * 4, "prefix"))
        total = (
            total
            + torch.autograd.grad(
                F.mse_loss(model.predict_noise(draw.latents, draw.timesteps, embeds), draw.eps_prompt), d
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
    draw = prepare("esd", church, SMALL | {"quirks": {"noise_level_mismatch"}}).draw(
        PATHS, torch.Generator().manual_seed(2)
    )
    right = prepare("esd", church, SMALL).draw(PATHS, torch.Generator().manual_seed(2))
    gap = draw.timesteps - right.timesteps
    assert (
        torch.equal(draw.latents, right.latents)
        and ((gap >= 39) & (gap <= 58) | (draw.timesteps == 999)).all()
    )
    separate = prepare("advunlearn", church, ADVERSARIAL | {"quirks": {"separate_retain_step"}})
    assert (
        separate.loss(1, torch.Generator().manual_seed(0)).item()
        == separate.retain_loss(torch.Generator().manual_seed(0)).item()
    )


def test_latest_init_starts_from_the_last_attack(model):
    method = prepare(
        "advunlearn",
        Task(model, ["church"]),
        ADVERSARIAL | {"init": "latest", "retain_weight": 0, "attack_lr": 1e-9},
    )
    first = method.attack(PATHS, torch.Generator().manual_seed(1))
    again = method.attack(PATHS, torch.Generator().manual_seed(2))
    assert torch.allclose(again, first[-1:].expand(4, -1, -1), atol=1e-6)


@pytest.mark.parametrize("component", ["text_encoder", "unet"])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(model, tmp_path, component):
    options = ADVERSARIAL | {"component": component, "lr": 1e-3, "init": "latest"}
    task = Task(model, ["church"], RETAIN)
    whole = train(prepare("advunlearn", task, options), seed=3)

    class Stop(Exception):
        pass

    method, path = prepare("advunlearn", task, options), tmp_path / "checkpoint.safetensors"
    plain = method.loss

    def stopping(iteration, generator):
        if iteration == 2:
            raise Stop
        return plain(iteration, generator)

    method.loss = stopping
    with pytest.raises(Stop):
        train(method, seed=3, path=path, save_every=-1)
    resumed = train(prepare("advunlearn", task, options), seed=3, path=path)
    assert resumed.losses == pytest.approx(whole.losses, rel=1e-4)
    ours, theirs = (dict(getattr(e.model, component).named_parameters()) for e in (resumed, whole))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


@pytest.mark.parametrize("method", ["advunlearn", "scissorhands"])
def test_where_memory_runs_out_micro_batches_give_the_same(model, method, monkeypatch):
    pictures = {"batch": 4, "iterations": 1, "per_prompt": 2, "retain_per_prompt": 1, "snip_batches": 2}
    options = ADVERSARIAL | {"iterations": 1} if method == "advunlearn" else pictures
    task = Task(model, ["church"], RETAIN, ["a photo of a dog"])
    easy = prepare(method, task, options)
    whole, plain, sizes = train(easy, seed=3), LatentDiffusion.call_unet, set()

    def small_memory(self, latents, timesteps, prompt_embeds):
        if len(latents) > 1 and torch.is_grad_enabled():
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        sizes.add(len(latents))
        return plain(self, latents, timesteps, prompt_embeds)

    monkeypatch.setattr(LatentDiffusion, "call_unet", small_memory)
    monkeypatch.setattr(model, "micro_batch", None)  # put back at the end
    tight = prepare(method, task, options)
    erased = train(tight, seed=3)
    assert 1 in sizes and erased.losses == pytest.approx(whole.losses, rel=1e-4)
    ours, theirs = (
        torch.cat([p.grad.flatten() for p in one.trained.values() if p.grad is not None])
        for one in (tight, easy)
    )
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_memory_for_not_even_one_sample_is_one_line(model, monkeypatch):
    def no_memory(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    method = prepare("esd", Task(model, ["church"]), SMALL)
    monkeypatch.setattr(LatentDiffusion, "call_unet", no_memory)
    with pytest.raises(UserError, match="out of memory with one sample at a time"):
        train(method)


def test_half_precision_trains_fp32_weights_and_agrees(model):
    half = LatentDiffusion.load(POCKET.base, dtype=torch.bfloat16)
    options = ADVERSARIAL | {
        "iterations": 4,
        "attack_steps": 0,
    }  # an attack follows signs, which rounding flips
    exact, rough = (
        train(prepare("advunlearn", Task(one, ["church"], RETAIN), options), seed=3) for one in (model, half)
    )
    latents, timesteps, prompts = (
        model.noise(range(8)),
        torch.linspace(50, 950, 8).long(),
        ["a photo of a church"] * 8,
    )
    with torch.no_grad():
        full, rounded = (
            one.predict_noise(latents, timesteps, one.encode_prompts(prompts)) for one in (model, half)
        )
    rounding = (
        (full - rounded).square().mean().sqrt()
    )  # a loss is a squared distance: its root moves by no more than this
    assert 0 < rounding < 0.03
    assert all(abs(a**0.5 - b**0.5) < rounding for a, b in zip(exact.losses, rough.losses))
    assert {p.dtype for p in rough.model.text_encoder.parameters()} == {torch.float32}
    assert {p.dtype for p in rough.model.unet.parameters()} == {torch.bfloat16}
    with pytest.raises(UserError, match="fp16 training needs a GPU"):
        train(
            prepare(
                "esd",
                Task(LatentDiffusion.load(POCKET.base, dtype=torch.float16), ["church"]),
                SMALL | {"iterations": 0},
            )
        )


def test_erased_parts_load_in_plain_libraries(model, tmp_path):
    for component, loader in (("text_encoder", CLIPTextModel), ("unet", UNet2DConditionModel)):
        group = "full" if component == "text_encoder" else "xattn"
        erased = erase(model, "church", "esd", component=component, group=group, lr=1e-3, **SMALL)
        erased.save_pretrained(tmp_path / component)
        loaded = loader.from_pretrained(tmp_path / component)
        ours = getattr(erased.model, component).state_dict()
        assert all(torch.equal(value, ours[name]) for name, value in loaded.state_dict().items())


def test_bad_input(model):
    with pytest.raises(UserError, match="unknown method 'esdd'; did you mean 'esd'"):
        erase(model, "church", "esdd")
    with pytest.raises(UserError, match="unknown quirk"):
        erase(model, "church", "esd", quirks={"nope"})
    with pytest.raises(UserError, match="AdvUnlearn needs a retain set"):
        erase(model, "church", "advunlearn", **ADVERSARIAL)
    with pytest.raises(UserError, match="unknown option 'lrr'; did you mean 'lr'"):
        erase(model, "church", "esd", lrr=1e-3)
    with pytest.raises(UserError, match="option lr=-1: input should be greater than 0"):
        erase(model, "church", "esd", lr=-1)
    with pytest.raises(UserError, match="unknown UNet group"):
        erase(model, "church", "esd", group="everything", **SMALL)
    with pytest.raises(UserError, match="no tokens"):
        erase(model, "", "esd", **SMALL)
