"""EraseDiff where memory runs out in its inner loop; where ScissorHands cuts."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task

RETAIN = ["a photo of a dog", "a photo of a cat"]
PICTURES = {"per_prompt": 4, "retain_per_prompt": 2, "sampling_steps": 2, "guidance_scale": 1.0, "batch": 4}
INNER = PICTURES | {"iterations": 2, "lr": 1e-4, "group": "xattn", "inner_steps": 3, "inner_lr": 1e-1}


def church(model):
    return Task(model, ["a photo of a church"], RETAIN, ["a photo of a guitar"], ["church"])


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


def test_scissorhands_quirk_cuts_in_two_of_stable_diffusions_four_up_blocks(model):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(  # Stable Diffusion's four levels, narrow
        sample_size=8, block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1,
        attention_head_dim=4, cross_attention_dim=128,
    )  # fmt: skip
    other = model.with_parts(unet=unet)
    options = PICTURES | {"iterations": 0, "lr": 1e-4, "snip_batches": 1, "sparsity": 0.1}
    everywhere = prepare("scissorhands", church(other), options)
    cut = {name for name, mask in zip(everywhere.trained, everywhere.cut) if mask.any()}
    assert any(name.startswith("up_blocks.3.") and ".attn1." in name for name in cut)
    local = prepare("scissorhands", church(other), options | {"quirks": {"self_attention_only"}})
    cut = {name for name, mask in zip(local.trained, local.cut) if mask.any()}
    assert cut and all(".attn1." in name for name in cut)
    assert {name.rsplit(".attentions.")[0] for name in cut} == {"up_blocks.1", "up_blocks.2"}
    before = dict(unet.named_parameters())
    assert {name for name, now in local.trained.items() if not torch.equal(now, before[name])} == cut
