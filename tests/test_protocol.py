"""The verbs measure as the tables do: field by field, for a model of either profile's size."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from advunlearn_lib import api
from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.pictures import generate_pictures, target_latents
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.erasure_spec import Erased, ErasureSpec
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET

KINDS = {"broad": "nudity", "style": "Van Gogh", "object": "Church"}
LONG = "a photo of a church " * 14  # 72 tokens with start and end: the paper attacks up to 60
ANYWHERE = "--base=anywhere"
RETAIN = ["a dog", "a cat", "a bus", "a train", "a chair"]


@pytest.fixture(params=["pocket", "paper"])
def case(request, model, large, monkeypatch, tmp_path):
    """A profile, a model of its size, prompts of the user's own, and what was loaded, drawn and asked."""
    one, profile = (model, POCKET) if request.param == "pocket" else (large, PAPER)
    profile = profile.model_copy(update={"select": False})  # a user's prompts are not chosen from
    if one is large:  # the judges that cannot be fetched
        (tmp_path / "wikiart-vit").mkdir()
        architecture = '{"model_type": "vit", "architectures": ["ViTForImageClassification"]}'
        (tmp_path / "wikiart-vit" / "config.json").write_text(architecture)
        profile = profile.model_copy(update={"judges": str(tmp_path), "detector_sha256": "0" * 64})
    texts = ["a photo of a church", "a church at night"] + [LONG] * (one is large)
    prompts = [EvaluationPrompt(text, 30 + row, 11.0 + row) for row, text in enumerate(texts)]
    columns = ("prompt", "evaluation_seed", "evaluation_guidance")
    rows = [(prompt.text, prompt.seed, prompt.guidance_scale) for prompt in prompts]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "prompts.csv", index=False)
    seen = {"drawn": set()}
    record(monkeypatch, seen, one)
    study = Study(profile, Store(tmp_path / "store"))
    study.protocol.source = SimpleNamespace(
        evaluation=lambda kind, labels, file, count: prompts,
        evaluation_recipe=lambda file: {},
        retain_set=lambda avoid, wanted: RETAIN,
        captions=lambda count, avoid: (["a dog"] * 40, list(range(40))),
        captions_recipe=dict,
        references=lambda count, avoid: [],
    )
    return SimpleNamespace(
        profile=profile, paper=one is large, model=one, study=study, seen=seen, folder=tmp_path
    )


def record(monkeypatch, seen, one):
    """Put what the verbs and the tables do into ``seen``: pictures as a set, their batches do not count."""

    def generate(self, prompts, seeds, sampling, batch=64, callback=None, guidance_scale=None):
        seen["drawn"].update(zip(prompts, seeds, [sampling] * len(seeds), guidance_scale, strict=True))
        return torch.zeros(len(seeds), 3, 8, 8)

    def run(self, prompts, targets, only=None):
        seen.update({name: getattr(self, name) for name in ("sampling", "budget", "seed", "clip")})
        seen.update(attack=type(self), judge=self.judge.asked, prompts=list(prompts))
        seen.update(original=self.original is one, dtype=self.model.dtype)
        return attack_once(self, prompts, targets, only)

    def measure(model, captions, sampling, clip, features, reference, batch, seed, *_, **__):
        seen.update(captions=list(captions), sampling=sampling, clip=clip, features=features.asked, seed=seed)
        return {}

    attack_once, package = Attack.run, "advunlearn_lib"
    monkeypatch.setattr(f"{package}.cli.evaluate.count_cut", lambda clip, captions: 0)
    monkeypatch.setattr(LatentDiffusion, "generate", generate)
    monkeypatch.setattr(
        LatentDiffusion, "encode_images", lambda self, images: torch.zeros(len(images), 4, 8, 8)
    )
    monkeypatch.setattr(Attack, "run", run)
    monkeypatch.setattr(f"{package}.experiment.picture_specs.measure_quality", measure)
    for module in ("experiment.study", "api"):
        monkeypatch.setattr(f"{package}.{module}.load_clip", lambda name, device: name)
    for module in ("experiment.study", "cli.erase", "cli.model_inputs"):
        monkeypatch.setattr(f"{package}.{module}.load_model", lambda *_: one)
    monkeypatch.setattr(f"{package}.experiment.attack_spec.load_judge", lambda *asked: Recorded(asked[:4]))
    monkeypatch.setattr(f"{package}.metrics.nudenet_official.locate", lambda judge: Path(__file__))
    for module in ("experiment.study", "cli.evaluate"):
        monkeypatch.setattr(f"{package}.{module}.load_features", lambda *asked: Recorded(asked))


class Recorded:
    """A judge that is always sure, so that nothing has to be searched, and a network of features."""

    def __init__(self, asked):
        self.asked = asked

    def __call__(self, images):
        return torch.ones(len(images), dtype=torch.bool)

    def features(self, images):
        return torch.zeros(0, 1)


def taken(case):
    """What was recorded since the last time."""
    seen = dict(case.seen)
    case.seen.clear()
    case.seen["drawn"] = set()
    return seen


def judged_as(case, concept):
    """The options that name the concept's judge; the threshold is not among them."""
    chosen = case.profile.concepts[concept]
    judge, labels = case.profile.judge(chosen.judge), ";".join(chosen.labels)
    return [f"--judge={judge}", f"--labels={labels}", f"--prompts={case.folder}/prompts.csv"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_verb_attack_does_what_the_tables_do(case, kind):
    words = [*judged_as(case, KINDS[kind]), f"--kind={kind}", f"--out={case.folder}/out"]
    assert main(["attack", ANYWHERE, *words]) == 0
    verb = taken(case)
    case.study.attack(Row(KINDS[kind], BASE))
    assert verb == taken(case)
    exempt = [prompt.text for prompt in verb["prompts"] if prompt.exempt]
    assert exempt == [LONG] * (case.paper)
    steps = {sampling.steps for _, _, sampling, _ in verb["drawn"]}
    assert steps == ({25, 50} if case.paper else {8})


def test_the_verb_evaluate_does_what_the_tables_do(case):
    (case.folder / "captions.txt").write_text("a dog\n" * 40)
    (case.folder / "real").mkdir()
    Image.new("RGB", (8, 8)).save(case.folder / "real" / "0.png")
    files = [f"--prompts={case.folder}/captions.txt", f"--reference={case.folder}/real"]
    assert main(["evaluate", ANYWHERE, *files, f"--out={case.folder}/out"]) == 0
    verb = taken(case)
    case.study.quality(Row("nudity", BASE))
    assert verb == taken(case) and verb["sampling"].steps == (100 if case.paper else 8)


def test_the_verb_erase_trains_and_measures_as_the_tables_do(case, monkeypatch):
    """One specification, but for the retain prompts and the words of the user's own."""
    begun = []

    def run(self, model, cache=None, checkpoint=None):
        begun.append((self, model.unet.dtype))
        return Erased(model=model, component="text_encoder", spec=self)

    monkeypatch.setattr(ErasureSpec, "run", run)
    (case.folder / "retain.txt").write_text("\n".join(RETAIN))
    words = ["--concept=church", "--kind=object", f"--retain={case.folder}/retain.txt"]
    assert main(["erase", ANYWHERE, *words, *judged_as(case, "Church"), f"--out={case.folder}/out"]) == 0
    verb, [(spec, weights)] = taken(case), begun
    table = case.study.protocol.erasure(Row("Church", "AdvUnlearn", "Text Encoder"))
    own = ("concept", "names", "forget_prompts", "remain_prompts", "surrogate")
    assert spec.model_dump(exclude=own) == table.model_dump(exclude=own) and weights == torch.float32
    case.study.attack(Row("Church", BASE))
    assert verb == taken(case) and verb["dtype"] == torch.float32
    made = json.loads((case.folder / "out" / "erased.json").read_text())["spec"]
    assert made == spec.model_dump(mode="json")


def test_the_api_does_what_the_tables_do(case):
    half = case.model.in_precision(torch.bfloat16)
    spec = api.attack_spec(half)
    run = spec.on(half, Recorded(()))
    assert (run.model.dtype, run.original.dtype) == (torch.float32, torch.float32)
    prompts = spec.prompts.choose(api.with_seeds(["a photo of a church", LONG]), half, None, 8)
    assert [prompt.exempt for prompt in prompts] == [False, case.paper]
    spec.run(run, [prompt for prompt in prompts if prompt.text != LONG or prompt.exempt])
    table = resolve.judged_prompts(case.profile)
    drawn = {sampling for _, _, sampling, _ in taken(case)["drawn"]}
    assert drawn == {table.sampling, table.target_sampling}
    api.evaluate(case.model, ["a dog"] * 40, features=Recorded(()))
    assert taken(case)["sampling"] == resolve.quality_sampling(case.profile)


def test_targets_are_drawn_at_one_guidance_scale(case):
    """Official ``generate_dataset.py`` draws them at 7.5; nudity's prompts have scales of 5 to 20."""
    prompts = [EvaluationPrompt("a photo of a church", 30, scale) for scale in (5.0, 20.0, None)]
    targets = target_latents(case.model, prompts, resolve.judged_prompts(case.profile).target_sampling, 2)
    scale = case.profile.guidance_scale
    assert len(targets) == 3 and {given for _, _, _, given in taken(case)["drawn"]} == {scale}
    generate_pictures(case.model, prompts, resolve.sampling_of(case.profile))
    assert {given for _, _, _, given in taken(case)["drawn"]} == {5.0, 20.0, scale}


@pytest.mark.parametrize(("name", "searched"), [("PEZ", True), ("PH2P", True), ("UnlearnDiffAtk", False)])
def test_an_attack_that_replaces_the_prompt_exempts_none(case, monkeypatch, name, searched):
    begun = []
    monkeypatch.setattr(ATTACKS[name], "run_batch", lambda self, prompts, *_: begun.extend(prompts) or 1 / 0)
    run = ATTACKS[name](
        case.model, Recorded(()), Budget(), resolve.sampling_of(case.profile), clip=(None, None)
    )
    run.judge = lambda images: torch.zeros(len(images), dtype=torch.bool)
    prompts = [EvaluationPrompt(LONG, 3, exempt=True)]
    if not searched:
        assert [one.after for one in attack_once(run, prompts).prompts] == [False]
        return
    with pytest.raises(ZeroDivisionError):
        attack_once(run, prompts)
    assert begun == prompts


def attack_once(run, prompts):
    return run.run_once(prompts, torch.zeros(len(prompts), 1), None)


def test_ones_own_sampling_keeps_the_number_of_steps_of_targets(large, fast):
    prompts = api.attack_spec(large, sampling=fast).prompts
    assert (prompts.sampling, prompts.target_sampling) == (fast, Sampling("dpm++", 25, 5.0))


def test_prompts_that_are_all_exempt_are_judged(case):
    """They were an IndexError."""
    prompts = [EvaluationPrompt(LONG, 3, exempt=True)]
    spec = api.attack_spec(case.model)
    result = spec.run(spec.on(case.model, Recorded(())), prompts)
    assert [(one.before, one.after, one.step) for one in result.prompts] == [(True, True, 0)]
