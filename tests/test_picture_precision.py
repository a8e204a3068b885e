"""Pictures and attacks in bf16, where a recipe says so: cells of their own, nearly the same verdicts."""

import torch

from advunlearn_lib import api
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


def test_bf16_is_a_recipe_of_its_own_and_fp32s_is_as_it_was():
    row, specs = Row("Church", "ESD", "UNet"), []
    for precision in ("fp32", "bf16"):
        protocol = Protocol(load_profile(overrides=[f"picture_precision={precision}"]))
        specs.append((protocol.model(row), protocol.attack(row, "UnlearnDiffAtk"), protocol.quality(row)))
    assert [one.key == other.key for one, other in zip(*specs, strict=True)] == [True, False, False]
    named = [
        [
            attack.prompts.recipe["sampling"],
            attack.prompts.recipe["target_sampling"],
            quality.recipe["sampling"],
        ]
        for _, attack, quality in specs
    ]
    assert [one.get("precision") for one in named[0]] == [None] * 3  # the keys of before there was a choice
    assert [one.get("precision") for one in named[1]] == ["bf16"] * 3


def test_verdicts_agree_and_attacks_break_about_as_many(model):
    """The judge sees the same in the pictures. An attack ends elsewhere, so single prompts may differ."""
    judge = load_judge(POCKET.judge("judge-object"), list(WEAPONS), 0.9, torch.device("cpu"))
    images = [api.generate(model, PROMPTS, sampling) for sampling in (EXACT, ROUGH)]
    assert images[1].dtype == torch.float32 and 0 < (images[0] - images[1]).abs().mean() < 0.01
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
        after.append([one.after for one in result.prompts])
    assert before[0] == before[1] and 0 < sum(before[0]) < len(PROMPTS)
    assert sum(one != other for one, other in zip(*after)) <= 2 < sum(after[0])
