"""What is missing or does not fit is named before anything is made; what is not said is filled in."""

import pytest
import torch

from advunlearn_lib import api
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.erasure.loop import check_options, check_task, prepare
from advunlearn_lib.erasure.task import Task

RETAIN = ["a photo of a dog", "a photo of a cat"]
GUITAR = ["a photo of a guitar"]
RELABELLING = {"salun": "SalUn", "erasediff": "EraseDiff", "scissorhands": "ScissorHands"}


@pytest.fixture
def nothing_is_made(monkeypatch):
    def made(*_, **__):
        raise AssertionError("something was made")

    for name in ("generate", "encode_images", "predict_noise", "predict", "copy_of"):
        monkeypatch.setattr(LatentDiffusion, name, made)
    monkeypatch.setattr("advunlearn_lib.erasure.bank.run_path", made)


@pytest.mark.parametrize(("method", "name"), RELABELLING.items())
def test_relabelling_needs_a_retain_set_and_a_surrogate(model, nothing_is_made, method, name):
    with pytest.raises(UserError, match=f"{name} needs a retain set; none was given"):
        prepare(method, Task(model, ["church"], surrogate=GUITAR), {})
    with pytest.raises(UserError, match=f"{name} needs a surrogate; none was given"):
        prepare(method, Task(model, ["church"], RETAIN), {})


@pytest.mark.parametrize(("method", "name"), RELABELLING.items())
def test_prompts_that_remain_stand_in_for_a_retain_set(model, method, name):
    filled = check_options(method, {})
    check_task(method, Task(model, ["church"], surrogate=GUITAR, remain_prompts=RETAIN), filled)
    check_task(method, Task(model, ["church"], RETAIN, GUITAR), filled)


def test_concept_ablation_needs_its_anchors(model, nothing_is_made):
    with pytest.raises(UserError, match="AC needs anchors; none was given"):
        prepare("ac", Task(model, ["church"], RETAIN, GUITAR), {})
    check_task("ac", Task(model, ["church"]), check_options("ac", {"anchors": ["a painting"]}))


def test_a_task_fills_its_own_defaults(model):
    plain = Task(model, ["church"], RETAIN)
    assert plain.forget_prompts == ["church"] and plain.remain_prompts == RETAIN
    own = Task(model, ["church"], RETAIN, forget_prompts=["a church at night"], remain_prompts=["a dog"])
    assert (own.concept, own.forget_prompts) == (["church"], ["a church at night"])
    assert (own.retain_set, own.remain_prompts) == (RETAIN, ["a dog"])


@pytest.mark.parametrize("templates", [("{anchor} by {name}",), ("{anchor}" + " by" * 3 + " {name}",)])
def test_an_anchor_that_would_be_cut_off_is_refused(model, nothing_is_made, templates):
    task, anchors = Task(model, ["monet"]), ["a dog", "a " * 29]
    with pytest.raises(UserError, match="tokens; at most 30 fit with 0 adversarial ones"):
        prepare("ac", task, {"templates": templates, "anchors": anchors})


def test_advunlearn_needs_a_retain_set_where_its_loss_has_weight(model, nothing_is_made):
    with pytest.raises(UserError, match="AdvUnlearn needs a retain set"):
        prepare("advunlearn", Task(model, ["church"]), {})
    free = {"retain_weight": 0.0}
    check_task("advunlearn", Task(model, ["church"]), check_options("advunlearn", free))


@pytest.mark.parametrize("method", list(RELABELLING))
def test_one_surrogate_a_forget_prompt(model, nothing_is_made, method):
    task = Task(model, ["church", "a photo of a church"], RETAIN, GUITAR)
    with pytest.raises(UserError, match="2 forget prompts but 1 surrogates; one for each is needed"):
        prepare(method, task, {})
    one = Task(model, ["church", "chapel"], RETAIN, GUITAR, forget_prompts=["a photo of a church"])
    check_task(method, one, check_options(method, {}))


@pytest.mark.parametrize("method", ["esd", "advunlearn", "uce", "fmn", "salun", "spm"])
def test_prompts_that_do_not_fit_are_refused(model, nothing_is_made, method):
    room = 29 if method == "advunlearn" else 30
    with pytest.raises(UserError, match=f"has 31 tokens; at most {room} fit"):
        prepare(method, Task(model, ["a " * 31], RETAIN, GUITAR), {})
    with pytest.raises(UserError, match="the prompt '' has no tokens"):
        prepare(method, Task(model, ["church", ""], RETAIN, GUITAR * 2), {})
    with pytest.raises(UserError, match="no concept prompt given"):
        prepare(method, Task(model, [], RETAIN, GUITAR), {})


def test_adversarial_tokens_take_room(model, nothing_is_made):
    task = Task(model, ["a " * 28], RETAIN)
    check_task("advunlearn", task, check_options("advunlearn", {"attack_tokens": 2}))
    with pytest.raises(UserError, match="at most 27 fit"):
        prepare("advunlearn", task, {"attack_tokens": 3})


def fmn(model, concept, **task):
    """The method that ``erase`` would train."""
    options = {"iterations": 0, "sampling_steps": 1, "per_prompt": 1}
    spec = api.erasure_spec(model, concept, "fmn", kind="object", **options, **task)
    return prepare(spec.method, spec.task(model), spec.options)


def marked(model, method):
    """The words that FMN starves, by prompt."""
    rows = zip(method.ids, method.positions)
    return [model.tokenizer.decode(ids[positions]).strip() for ids, positions in rows]


def test_fmn_starves_the_concepts_own_words(model):
    prompt = "a photo of a garbage truck at night"
    named = fmn(model, prompt, names=["garbage truck"])
    assert marked(model, named) == ["garbage truck"] and named.positions.sum() == 2
    (a, photo, of, again) = torch.arange(1, 5)
    assert not named.positions[0, [0, a, photo, of, again, 7, 8]].any()  # nor "at", "night"
    assert marked(model, fmn(model, prompt)) == [prompt]


def test_fmn_starves_the_shortest_prompts_words_where_none_are_named(model):
    method = fmn(model, ["a photo of a church", "church", "a church by monet"])
    assert marked(model, method) == ["church"] * 3


def test_the_task_that_a_user_means(model):
    def task(*arguments, **more):
        return api.erasure_spec(model, *arguments, **more).task(model)

    assert task("church").names == ["church"] and task("church").concept == ["church"]
    several = task(["a photo of a church", "church", "chapel"], surrogate="a photo of a guitar")
    assert several.names == ["church"] and several.surrogate == GUITAR * 3
    assert task(["church", "a photo of a church"], names=("chapel", "church")).names == ["chapel", "church"]
    bare = task("church")
    assert (bare.retain_set, bare.surrogate, bare.seed, bare.cache) == ([], [], 0, None)
    assert task("church", retain_set=tuple(RETAIN), seed=7).retain_set == RETAIN
