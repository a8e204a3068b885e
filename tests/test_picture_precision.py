"""Pictures and attacks in bf16, where a recipe says so: cells of their own, nearly the same verdicts."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from advunlearn_lib import api
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET

PLACES = ("in the snow", "at night", "by the sea", "on the grass", "in the city", "under the stars", "")
WEAPONS = POCKET.concepts["nudity"].labels
PROMPTS = [
    EvaluationPrompt(f"a photo of a {weapon} {place}", seed)
    for seed, (weapon, place) in enumerate(zip(WEAPONS, PLACES, strict=True))
]
EXACT, ROUGH = (Sampling("dpm++", 8, 5.0, precision=precision) for precision in ("fp32", "bf16"))


def test_bf16_and_compiled_are_recipes_of_their_own_and_fp32s_is_as_it_was():
    row, specs = Row("Church", "ESD", "UNet"), []
    for changes in ([], ["picture_precision=bf16"], ["compiled=true"]):
        protocol = Protocol(load_profile(overrides=changes))
        specs.append((protocol.model(row), protocol.attack(row, "UnlearnDiffAtk"), protocol.quality(row)))
    assert [len({one.key for one in same}) for same in zip(*specs, strict=True)] == [1, 3, 3]
    named = [
        [
            attack.prompts.recipe["sampling"],
            attack.prompts.recipe["target_sampling"],
            quality.recipe["sampling"],
        ]
        for _, attack, quality in specs
    ]
    chosen = [
        [
            {key: value for key, value in sampling.items() if key in ("precision", "compiled")}
            for sampling in one
        ]
        for one in named
    ]
    # nothing: the keys of before there was a choice
    assert chosen == [[{}] * 3, [{"precision": "bf16"}] * 3, [{"compiled": True}] * 3]


@pytest.fixture
def traced(monkeypatch):
    """Sizes of the graphs that torch traces, as it would for a GPU; they are run as they were traced."""
    sizes = []

    def run(graph, inputs):
        sizes.append(len(graph.graph.nodes))
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=run))
    return sizes


@pytest.mark.slow
def test_a_compiled_unet_draws_the_same_pictures(model, traced):
    fast = replace(EXACT, steps=2, compiled=True)
    images = [api.generate(model, PROMPTS[:3], one) for one in (fast, replace(fast, compiled=False))]
    assert max(traced) > 100 and torch.allclose(*images, atol=1e-5)
    assert not hasattr(model.unet, "_orig_mod")


@pytest.mark.slow
def test_a_compiled_attack_is_the_attack_and_prompts_that_leave_cost_no_tracing(model, traced):
    """UnlearnDiffAtk's tokens after a step, of four prompts and of the two that are left of them."""
    spec = api.attack_spec(model, sampling=replace(EXACT, compiled=True), timesteps=1, steps=1)
    attack, found = spec.on(model, None), []
    assert attack.model.compiled and not model.compiled
    for one in (attack, api.attack_spec(model, sampling=EXACT, timesteps=1, steps=1).on(model, None)):
        search = one.search(PROMPTS[:4], model.noise(range(4)))
        for rows in ([0, 1, 2, 3], [1, 3]):
            search.keep(rows)
            search.advance(0)
            found.append(search.variable.detach())
    assert len(traced) == 1 and traced[0] > 500
    assert torch.allclose(found[0], found[2], atol=1e-5) and torch.allclose(found[1], found[3], atol=1e-5)
    assert not torch.allclose(found[1], found[0][[1, 3]], atol=1e-3)  # it has moved


def test_where_torch_cannot_compile_it_is_said_in_a_line(model, monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    def fails(*given, **named):
        raise BackendCompilerFailed(fails, OSError("no C++ compiler"), None)

    monkeypatch.setattr(torch, "compile", lambda unet: unet)
    monkeypatch.setattr(model.unet, "forward", fails)
    with pytest.raises(UserError, match=r"cannot be compiled here, use compiled=false: .*no C\+\+ compiler$"):
        api.generate(model, PROMPTS[:1], replace(EXACT, compiled=True))


@pytest.fixture(scope="module")
def judge():
    return load_judge(POCKET.judge("judge-object"), list(WEAPONS), 0.9, torch.device("cpu"))


def test_the_judge_sees_the_same_in_bf16(model, judge):
    images = [api.generate(model, PROMPTS, sampling) for sampling in (EXACT, ROUGH)]
    assert images[1].dtype == torch.float32 and 0 < (images[0] - images[1]).abs().mean() < 0.01
    exact, rough = (judge(one).tolist() for one in images)
    assert exact == rough and any(exact)


@pytest.mark.slow
def test_attacks_in_bf16_break_about_as_many(model, judge):
    """An attack's path ends elsewhere, on each processor at another place, so single prompts differ."""
    own = {"retain_set": ["a photo of a dog", "a photo of a cat"], "erase_scale": 0.1, "preserve_scale": 0.1}
    erased = api.erase(model, list(POCKET.concepts["nudity"].erase), "uce", "broad", **own).model
    dtypes: list[torch.dtype] = []
    erased.unet.conv_in.register_forward_hook(lambda *call: dtypes.append(call[-1].dtype))
    before, after = [], []
    for sampling in (EXACT, ROUGH):
        dtypes.clear()
        result = api.attack(erased, PROMPTS, judge, original=model, sampling=sampling, timesteps=3)
        assert set(dtypes) == {torch.bfloat16 if sampling is ROUGH else torch.float32}
        before.append([one.before for one in result.prompts])
        after.append(sum(one.after for one in result.prompts))
    assert before[0] == before[1] and 0 < sum(before[0]) < len(PROMPTS)
    assert abs(after[0] - after[1]) <= 2 < min(after)
