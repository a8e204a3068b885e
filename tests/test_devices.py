"""Pictures go to where the network lives that looks at them."""

import pytest
import torch

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.metrics.clip_score import clip_scores, load_clip
from advunlearn_lib.metrics.judges import Classifier, load_judge
from advunlearn_lib.profiles.pocket import POCKET


class Moved:
    """Which tensors were moved to ``device``, told from any other CPU by being this very object."""

    def __init__(self, monkeypatch, *networks):
        self.device, self.tensors, plain = torch.device("cpu"), [], torch.Tensor.to

        def to(tensor, *args, **kwargs):
            if any(argument is self.device for argument in (*args, *kwargs.values())):
                self.tensors.append(tensor)
            return plain(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, "to", to)
        for network in networks:
            monkeypatch.setattr(type(network), "device", property(lambda _: self.device))

    def shapes(self):
        return [tuple(tensor.shape) for tensor in self.tensors]


def test_a_clip_score_sends_pictures_to_its_network(clip, monkeypatch):
    images = torch.rand(25, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    moved = Moved(monkeypatch, clip[0])
    clip_scores(clip, images, ["a church"] * 25)
    assert [shape for shape in moved.shapes() if len(shape) == 4] == [(20, 3, 64, 64), (5, 3, 64, 64)]
    assert len([shape for shape in moved.shapes() if len(shape) == 2]) == 4  # token ids and masks


def test_pez_sends_everything_to_its_network(model, clip, fast, monkeypatch):
    prompts = [EvaluationPrompt(text, seed) for seed, text in enumerate(["a dagger", "an axe", "a bow"])]
    targets = model.encode_images(model.generate(["a dagger", "an axe", "a bow"], range(3), fast))
    budget = Budget(tokens=4, timesteps=1, steps=2, lr=0.1)
    attack = ATTACKS["PEZ"](model, lambda images: torch.zeros(len(images)), budget, fast, clip=clip)
    moved = Moved(monkeypatch, clip[0])
    search = attack.search(prompts, targets)
    pixels, vocabulary, start = moved.shapes()[:3]
    assert pixels == (3, 3, 64, 64)
    assert vocabulary == tuple(search.vocabulary.shape) and start == (3, 4)
    search.advance(0)
    assert len(search.texts()) == 3 and (search.reached > -1).all()


def test_ph2p_sends_its_pictures_to_clips_network(model, clip, fast, monkeypatch):
    prompts = [EvaluationPrompt(text, seed) for seed, text in enumerate(["a dagger", "an axe"])]
    targets = model.encode_images(model.generate(["a dagger", "an axe"], range(2), fast))
    budget = Budget(tokens=4, steps=3, lr=0.1)
    attack = ATTACKS["PH2P"](model, lambda images: torch.zeros(len(images)), budget, fast, clip=clip)
    moved = Moved(monkeypatch, clip[0])
    search = attack.search(prompts, targets)
    search.advance(0)
    pixels = [shape for shape in moved.shapes() if shape == (2, 3, 64, 64)]
    assert len(pixels) == 1 + 3 and (search.likeness > -1).all()  # the targets, then each step's pictures


def test_judges_send_pictures_to_their_network(monkeypatch):
    judge = Classifier(POCKET.judge("judge-object"))
    moved = Moved(monkeypatch, judge.network)
    judge.probabilities(torch.zeros(2, 3, 64, 64))
    judge.features([torch.zeros(3, 64, 64)])
    assert [shape for shape in moved.shapes() if len(shape) == 4] == [(2, 3, 64, 64), (1, 3, 64, 64)]


def test_networks_are_loaded_where_they_are_told(monkeypatch):
    device = torch.device("meta")
    assert load_clip(POCKET.clip, device)[0].device == device
    judge = load_judge(POCKET.judge("judge-object"), ["church"], 0.5, device)
    assert judge.classifier.network.device == device and judge.threshold == 0.5


def test_devices_have_names():
    assert device_named("cpu") == torch.device("cpu")
    assert device_named().type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99", "cpu:x", ""):
        with pytest.raises(UserError, match=f"this machine has no device {name!r}") as error:
            device_named(name)
        assert "\n" not in str(error.value)
