"""Methods that relabel: whose pictures they draw, what stands in; EraseDiff where memory runs out."""

import pytest
import torch
from tasks import CONCEPT, GUITAR, RELABELLING, RETAIN, church, generator

from advunlearn_lib.erasure import pictures
from advunlearn_lib.erasure.loop import prepare, train

FEW = RELABELLING | {"per_prompt": 4, "sampling_steps": 2, "guidance_scale": 1.0, "batch": 4}
INNER = FEW | {"iterations": 2, "lr": 1e-4, "group": "xattn", "inner_steps": 3}
FIRST = {"salun": {"mask_batches": 1}, "erasediff": {}, "scissorhands": {"snip_batches": 1}}
FORGET, REMAIN = ["a church at night", "a chapel"], ["a photo of a person", "a photo of a horse", "an owl"]


@pytest.fixture
def drawn(monkeypatch):
    """(prompts, pictures of each, seed) that a method has pictures made of."""
    made, plain = [], pictures.Pictures.__init__

    def init(self, task, prompts, per_prompt, options, seed):
        made.append((list(prompts), per_prompt, seed))
        plain(self, task, prompts, per_prompt, options, seed)

    monkeypatch.setattr(pictures.Pictures, "__init__", init)
    return made


@pytest.mark.parametrize("method", list(FIRST))
def test_pictures_are_of_what_is_forgotten_and_of_what_remains(model, drawn, method):
    instead = ["a photo of a guitar", "a photo of a castle"]
    task = church(model, forget_prompts=FORGET, remain_prompts=REMAIN, surrogate=instead, seed=7)
    ready = prepare(method, task, FEW | FIRST[method])
    assert drawn == [(FORGET, 4, 7), (REMAIN, 2, 8)]
    assert torch.equal(ready.forget.embeds, model.encode_prompts(FORGET))
    assert torch.equal(ready.remain.embeds, model.encode_prompts(REMAIN))
    assert torch.equal(
        ready.surrogate_embeds, model.encode_prompts(instead)
    )  # one a forget prompt, in their order
    drawn.clear()
    bare = church(model, forget_prompts=[], remain_prompts=[], surrogate=instead)
    prepare(method, bare, FEW | FIRST[method])
    assert drawn == [(CONCEPT, 4, 0), (RETAIN, 2, 1)]


def test_each_picture_is_relabelled_as_its_own_surrogate(model):
    instead = [GUITAR, "a photo of a castle"]
    task = church(model, forget_prompts=FORGET, surrogate=instead)
    method = prepare("salun", task, FEW | FIRST["salun"] | {"batch": 8})
    batch, total = method.sample_batch(generator()), 0.0
    assert set(batch.prompt.tolist()) == {0, 1}
    for z, t, number in zip(batch.latents, batch.timesteps, batch.prompt, strict=True):
        told, wanted = (model.encode_prompts([texts[number]]) for texts in (FORGET, instead))
        with torch.no_grad():
            answers = [model.predict_noise(z[None], t[None], embeds) for embeds in (told, wanted)]
        total += (answers[0] - answers[1]).square().mean().item() / len(batch.latents)
    assert method.forget_loss(batch).item() == pytest.approx(total, rel=1e-4)


def out_of_memory_once(monkeypatch, method, call):
    """The ``call``-th gradient that ``method`` asks for does not fit."""
    plain, calls = method.gradients, []

    def gradients(loss):
        calls.append(method.model.micro_batch)
        if len(calls) == call:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return plain(loss)

    monkeypatch.setattr(method, "gradients", gradients)
    return calls


def weights(method):
    return torch.cat([parameter.detach().flatten() for parameter in method.trained.values()])


@pytest.mark.parametrize("step", [1, 2, 3])
def test_erasediffs_inner_steps_leave_the_weights_as_they_were(model, monkeypatch, step):
    method = prepare("erasediff", church(model), INNER)
    before = weights(method)
    out_of_memory_once(monkeypatch, method, step)
    with pytest.raises(RuntimeError, match="out of memory"):
        method.backward(0, torch.Generator().manual_seed(0))
    assert torch.equal(weights(method), before)


def test_erasediff_ends_where_an_undisturbed_run_does(model, monkeypatch):
    task = church(model)
    whole, start = prepare("erasediff", task, INNER), prepare("erasediff", task, INNER)
    theirs = train(whole, seed=3)
    disturbed = prepare("erasediff", task, INNER)
    calls = out_of_memory_once(monkeypatch, disturbed, 7)  # five an iteration: the second one's second
    ours = train(disturbed, seed=3)
    assert calls[:7] == [None] * 7 and calls[7] == 4 and len(calls) == 7 + 5
    moved = (weights(whole) - weights(start)).abs().max()
    assert (weights(disturbed) - weights(whole)).abs().max() < 1e-2 * moved
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-4)
