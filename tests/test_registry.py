"""Methods and attacks by name: the package's own, a module's, another package's."""

import pytest
import torch

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base import registry
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.erasure.loop import check_options, prepare, train
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


@pytest.fixture
def clean(monkeypatch):
    """What a test registers is gone after it."""
    for known in (METHODS, ATTACKS):
        len(known)  # the package's own are there
        monkeypatch.setattr(known, "_classes", dict(known._classes))


def test_the_packages_own_are_known_in_alphabetical_order():
    methods = ["ac", "advunlearn", "erasediff", "esd", "fmn", "salun", "scissorhands", "spm", "uce"]
    assert list(METHODS) == methods and len(METHODS) == 9
    assert list(ATTACKS) == ["CCE", "none", "P4D", "PEZ", "PH2P", "random", "UnlearnDiffAtk"]
    assert all(issubclass(kind, Method) and kind.LABEL for kind in METHODS.values())
    assert all(issubclass(kind, Attack) for kind in ATTACKS.values())
    assert "dall-e" not in METHODS and METHODS.get("dall-e") is None


def test_a_method_of_a_module_is_trained_as_any_other(model, clean):
    class ShrinkOptions(Options):
        iterations: int = 3
        target: float = 0.0

    @METHODS.register("shrink")
    class Shrink(Method):
        OPTIONS = ShrinkOptions

        def choose_parameters(self):
            return {"conv_in.bias": self.model.unet.conv_in.bias}

        def optimizer(self):
            return torch.optim.SGD(self.trained.values(), lr=self.options.lr)

        def loss(self, iteration, generator):
            return (self.model.unet.conv_in.bias - self.options.target).square().sum() / 2

    assert METHODS["shrink"] is Shrink and "shrink" in METHODS
    assert list(METHODS) == sorted(METHODS, key=str.lower)
    with pytest.raises(UserError, match="unknown option 'targt'; did you mean 'target'"):
        check_options("shrink", {"targt": 1})
    erased = train(prepare("shrink", Task(model, ["church"]), {"lr": 0.5, "target": 2.0}))
    before, after = model.unet.conv_in.bias, erased.model.unet.conv_in.bias
    assert torch.allclose(after - 2, (before - 2) / 8) and len(erased.losses) == 3


def test_an_attack_of_a_module_runs_as_any_other(model, clean, fast):
    @ATTACKS.register("shout")
    class Shout(Attack):
        REPLACES_PROMPT = True

        def search(self, prompts, targets):
            return Shouts(self, prompts, targets)

    class Shouts(Search):
        def advance(self, number):
            self.marks = "!" * (number + 1)

        def texts(self):
            return [prompt.text + self.marks for prompt in self.prompts]

    judged = iter([[False], [False] * 3, [False], [True]])  # the plain prompt, blank pictures, two rounds
    run = ATTACKS["shout"](model, lambda images: torch.tensor(next(judged)), Budget(timesteps=3), fast)
    (result,) = run.run([EvaluationPrompt("dog", 0)], torch.zeros(1, *model.latent_shape())).prompts
    assert (result.adversarial, result.step, result.before, result.after) == ("dog!!", 2, False, True)


def test_a_name_that_is_taken_is_refused(clean):
    with pytest.raises(ValueError, match="'esd' is registered by ESD already"):

        @METHODS.register("esd")
        class Another(Method):
            pass

    assert METHODS["esd"].__name__ == "ESD"
    METHODS.register("esd")(METHODS["esd"])  # the same again is no other


class EntryPoint:
    """What ``importlib.metadata`` hands out; loading it registers."""

    def __init__(self, known, name):
        self.known, self.name = known, name

    def load(self):
        self.known.register(self.name)(type(self.name, (Method,), {}))


@pytest.mark.parametrize("known", [METHODS, ATTACKS], ids=["methods", "attacks"])
def test_another_packages_are_loaded_by_its_entry_points(monkeypatch, known):
    asked = []

    def entry_points(group):
        asked.append(group)
        return [EntryPoint(fresh, "Elsewhere"), EntryPoint(fresh, "another")]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    monkeypatch.setattr(registry.pkgutil, "iter_modules", lambda path: [])  # the package's own are imported
    fresh = registry.Registry(known.package)
    assert list(fresh) == ["another", "Elsewhere"] and asked == [known.package]
    assert known.package in ("advunlearn_lib.erasure", "advunlearn_lib.attacks")
    assert fresh["Elsewhere"].__name__ == "Elsewhere" and len(fresh) == 2 and asked == [known.package]
