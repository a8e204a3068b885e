"""On a real card the library does what it does on a CPU. Only where there is one: `pytest -m gpu`."""

from dataclasses import replace

import pytest
import torch
from tasks import PICTURE_OPTIONS, RELABELLING, church, flat

from advunlearn_lib import api
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.judges import Classifier, load_judge
from advunlearn_lib.metrics.quality import measure_quality
from advunlearn_lib.profiles.pocket import POCKET

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch sees"),
]
WEAPONS = POCKET.concepts["nudity"].labels
TEXTS = [f"a photo of a {weapon}" for weapon in WEAPONS]
PROMPTS = [EvaluationPrompt(text, seed) for seed, text in enumerate(TEXTS)]
FEW = Sampling("dpm++", 6, 5.0)


@pytest.fixture(scope="module", autouse=True)
def exact():
    """Whole fp32: convolutions in TF32, which is torch's default, are checked for their verdicts alone."""
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = True


@pytest.fixture(scope="module")
def card():
    return load_model(POCKET.base, "cuda")


def the_judge(device):
    return load_judge(POCKET.judge("judge-object"), list(WEAPONS), 0.9, torch.device(device))


def test_pictures_and_what_is_measured_of_them(model, card):
    images = [one.generate(TEXTS, range(len(TEXTS)), FEW) for one in (model, card)]
    assert images[1].device.type == "cpu" and (images[0] - images[1]).abs().max() < 1e-3
    shown = [the_judge(device)(one) for device, one in zip(("cpu", "cuda"), images, strict=True)]
    assert torch.equal(*(one.cpu() for one in shown)) and shown[0].any()
    measured = []
    for one, device in ((model, "cpu"), (card, "cuda")):
        clip, features = (
            load_clip(POCKET.clip, device),
            Classifier(POCKET.judge("judge-object"), device=device),
        )
        reference = features.features(images[0].flip(-1))
        measured.append(measure_quality(one, PROMPTS, FEW, clip, features, reference, batch=3))
    for name, estimate in measured[0].items():
        assert measured[1][name].value == pytest.approx(estimate.value, rel=1e-3, abs=1e-3), name


def test_a_compiled_unet_draws_the_same_pictures(card):
    """In two sizes of batch, for the second of which torch compiles again."""
    fast, plain = (
        card.generate(TEXTS, range(len(TEXTS)), replace(FEW, compiled=compiled), batch=4)
        for compiled in (True, False)
    )
    assert (fast - plain).abs().max() < 1e-3


def test_an_attack_with_a_compiled_unet_takes_the_same_steps(card):
    """UnlearnDiffAtk's distributions after two steps, and after prompts have left the batch."""
    found = []
    for compiled in (True, False):
        spec = api.attack_spec(card, sampling=replace(FEW, compiled=compiled), timesteps=1, steps=2)
        search = spec.on(card, None).search(PROMPTS[:4], card.noise(range(4)))
        for rows in ([0, 1, 2, 3], [0, 2, 3]):
            search.keep(rows)
            search.advance(0)
            found.append(search.variable.detach())
    for fast, plain in zip(found[:2], found[2:], strict=True):
        assert (fast - plain).abs().max() < 1e-3 < plain.max()


@pytest.mark.parametrize("setting", ["TF32 convolutions", "bf16"])
def test_the_judge_says_the_same_in_less_precision(model, card, setting, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", setting != "bf16")
    less = Sampling(FEW.sampler, FEW.steps, 5.0, precision="bf16" if setting == "bf16" else "fp32")
    shown = [
        the_judge("cpu")(one.generate(TEXTS, range(len(TEXTS)), how))
        for one, how in ((model, FEW), (card, less))
    ]
    assert shown[0].tolist() == shown[1].tolist()


SMALL = {
    "ac": PICTURE_OPTIONS | {"anchors": ("a dog", "a bus", "a cat")},
    "fmn": PICTURE_OPTIONS,
    **dict.fromkeys(("salun", "erasediff", "scissorhands"), RELABELLING),
}


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_trains_as_on_the_cpu(model, card, name):
    """Two steps of all losses; where the trained weights end after them."""
    fields = METHODS[name].OPTIONS.model_fields
    least = METHODS[name].OPTIONS.marked("smallest") | {"steps": 4, "lr": 1e-3} | SMALL.get(name, {})
    options = {key: value for key, value in least.items() if key in fields}
    trained = [train(prepare(name, church(one), options)) for one in (model, card)]
    assert trained[1].losses == pytest.approx(trained[0].losses, rel=2e-3)
    component = trained[0].component
    start = flat(getattr(model, component).parameters())
    moved = [flat(getattr(run.model, component).parameters()).cpu() - start for run in trained]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.99  # 0 where nothing moves


def test_an_attack_step_that_is_played_back_is_the_step(card, monkeypatch):
    """AdvUnlearn on two prompts of different lengths, with CUDA graphs and without."""
    options = {
        "iterations": 6,
        "warm_up": 1,
        "attack_steps": 3,
        "steps": 4,
        "per_prompt": 2,
        "retain_per_prompt": 1,
    }
    runs = [prepare("advunlearn", church(card), options) for _ in range(2)]
    monkeypatch.setattr(runs[1].gradient, "gave_up", True)
    played, plain = (train(run) for run in runs)
    assert (
        len(runs[0].gradient.recorded) == 2 and not runs[0].gradient.gave_up and not runs[1].gradient.recorded
    )
    assert played.losses == pytest.approx(plain.losses, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "none"])
def test_an_attack_does_what_it_does_on_the_cpu(model, card, name):
    """Its outcomes, and in what batches."""
    found = []
    for one, device, batch in ((model, "cpu", 4), (card, "cuda", 4), (card, "cuda", 3)):
        clip = load_clip(POCKET.attack_clip, device) if ATTACKS[name].NEEDS_CLIP else None
        concept = POCKET.concepts["nudity"]
        budget = resolve.attack_budget(POCKET, name, concept, {"timesteps": 1, "steps": 3})
        attack = ATTACKS[name](one, the_judge(device), budget, FEW, original=one, clip=clip, batch=batch)
        plain = [
            EvaluationPrompt(text, 5 + seed)
            for seed, text in enumerate(["a dagger", "an axe", "a thing", "a bow"])
        ]
        targets = model.encode_images(model.generate(TEXTS[:4], range(4), FEW)).to(one.device)
        result = attack.run(plain, targets)
        found.append([(r.before, r.after, r.step) for r in result.prompts])
        assert result.flags == []
    assert found[0] == found[1] == found[2]


def test_memory_that_runs_out_costs_time_alone(card):
    """The card is told to have less than eight pictures need at once, then as much as it has."""
    prompts = [EvaluationPrompt("a photo of a church", seed) for seed in range(256)]
    whole, clip = api.generate(card, prompts[:64], FEW, batch=64), load_clip(POCKET.clip, "cuda")
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.reset_peak_memory_stats()
    api.generate(card, prompts, FEW, batch=256)
    needed, base = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((base + (needed - base) / 3) / total)
    try:
        quality = measure_quality(card, prompts[:100], FEW, clip, batch=100)
        assert card.micro_batch is not None and card.micro_batch < 100
        again = api.generate(card, prompts[:64], FEW, batch=64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        card.micro_batch = None
    assert (again - whole).abs().max() < 1e-3
    plain = measure_quality(card, prompts[:100], FEW, clip, batch=100)
    assert quality["clip"].value == pytest.approx(plain["clip"].value, rel=1e-4)
