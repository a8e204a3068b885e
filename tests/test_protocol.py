"""The verbs measure as the tables do: field by field, for a model of either profile's size."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from advunlearn_lib import api
from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.pictures import generate_pictures, target_latents
from advunlearn_lib.attacks.records import Budget, EvaluationPrompt
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.model import DTYPES, LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import Erased
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET

KINDS = {"broad": "nudity", "style": "Van Gogh", "object": "Church"}
LONG = "a photo of a church " * 14  # 72 tokens with start and end: the paper attacks up to 60
ANYWHERE = "--base=anywhere"


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
    study.recipes.source = SimpleNamespace(
        evaluation=lambda concept, count: prompts,
        evaluation_recipe=lambda concept: {},
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
    monkeypatch.setattr(f"{package}.metrics.clip_score.count_cut", lambda clip, captions: 0)
    monkeypatch.setattr(LatentDiffusion, "generate", generate)
    monkeypatch.setattr(
        LatentDiffusion, "encode_images", lambda self, images: torch.zeros(len(images), 4, 8, 8)
    )
    monkeypatch.setattr(Attack, "run", run)
    for module in ("experiment.study", "api"):
        monkeypatch.setattr(f"{package}.{module}.measure_quality", measure)
        monkeypatch.setattr(f"{package}.{module}.load_clip", lambda name, device: name)
    for module in ("experiment.study", "diffusion.load"):
        monkeypatch.setattr(f"{package}.{module}.load_model", lambda *_: one)
    for module in ("experiment.study", "metrics.judges"):
        monkeypatch.setattr(f"{package}.{module}.load_judge", lambda *asked: Recorded(asked[:4]))
    for module in ("experiment.study", "metrics.quality"):
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
    begun = {}

    def erase(model, concept, method, kind, **more):
        begun.update(dtype=model.dtype, weights=model.unet.dtype, method=method, kind=kind, seed=more["seed"])
        return Erased(model, "text_encoder")

    monkeypatch.setattr("advunlearn_lib.api.erase", erase)
    (case.folder / "retain.txt").write_text("a dog\na cat\na bus\na train\na chair\n")
    words = ["--concept=church", "--kind=object", f"--retain={case.folder}/retain.txt"]
    assert main(["erase", ANYWHERE, *words, *judged_as(case, "Church"), f"--out={case.folder}/out"]) == 0
    verb, profile = taken(case), case.profile
    assert begun == {
        "dtype": DTYPES[profile.precision], "weights": torch.float32,
        "method": "advunlearn", "kind": "object", "seed": profile.seed,
    }  # fmt: skip
    case.study.attack(Row("Church", BASE))
    assert verb == taken(case) and verb["dtype"] == torch.float32
    made = json.loads((case.folder / "out" / "erased.json").read_text())
    table = Recipes(profile).options(Row("Church", "AdvUnlearn", "Text Encoder"))[1]
    assert made["precision"] == profile.precision and made["options"] == table


def test_the_api_does_what_the_tables_do(case):
    recipes = Recipes(case.profile)
    run = api.make_attack(case.model.in_precision(torch.bfloat16), Recorded(()))
    assert (run.model.dtype, run.original.dtype) == (torch.float32, torch.float32)
    prompts = api.attack_prompts(case.model, ["a photo of a church", LONG])
    assert [prompt.exempt for prompt in prompts] == [False, case.paper]
    api.run_attack(run, [prompt for prompt in prompts if prompt.text != LONG or prompt.exempt])
    assert {sampling for _, _, sampling, _ in taken(case)["drawn"]} == {
        recipes.sampling, recipes.target_sampling,
    }  # fmt: skip
    api.evaluate(case.model, ["a dog"] * 40, features=Recorded(()))
    assert taken(case)["sampling"] == recipes.quality_sampling


def test_targets_are_drawn_at_one_guidance_scale(case):
    """Official ``generate_dataset.py`` draws them at 7.5; nudity's prompts have scales of 5 to 20."""
    prompts = [EvaluationPrompt("a photo of a church", 30, scale) for scale in (5.0, 20.0, None)]
    targets = target_latents(case.model, prompts, Recipes(case.profile).target_sampling, 2)
    scale = case.profile.guidance_scale
    assert len(targets) == 3 and {given for _, _, _, given in taken(case)["drawn"]} == {scale}
    generate_pictures(case.model, prompts, Recipes(case.profile).sampling)
    assert {given for _, _, _, given in taken(case)["drawn"]} == {5.0, 20.0, scale}


@pytest.mark.parametrize(("name", "searched"), [("PEZ", True), ("PH2P", True), ("UnlearnDiffAtk", False)])
def test_an_attack_that_replaces_the_prompt_exempts_none(case, monkeypatch, name, searched):
    begun = []
    monkeypatch.setattr(ATTACKS[name], "run_batch", lambda self, prompts, *_: begun.extend(prompts) or 1 / 0)
    run = ATTACKS[name](case.model, Recorded(()), Budget(), Recipes(case.profile).sampling, clip=(None, None))
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
    assert api.target_sampling(large, fast) == Sampling("dpm++", 25, 5.0)


def test_prompts_that_are_all_exempt_are_judged(case):
    """They were an IndexError."""
    prompts = [EvaluationPrompt(LONG, 3, exempt=True)]
    result = api.run_attack(api.make_attack(case.model, Recorded(())), prompts)
    assert [(one.before, one.after, one.step) for one in result.prompts] == [(True, True, 0)]
