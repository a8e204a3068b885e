"""Pictures go to where the network lives that looks at them; Inception's features, with and without it."""

import importlib.util

import pytest
import torch

from advunlearn_lib.attacks.records import Budget, EvaluationPrompt
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import to_uint8
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.metrics.clip_score import clip_scores, load_clip
from advunlearn_lib.metrics.fid import frechet_distance
from advunlearn_lib.metrics.inception import Inception
from advunlearn_lib.metrics.judges import Classifier, load_judge
from advunlearn_lib.profiles.pocket import POCKET

HAS_FIDELITY = importlib.util.find_spec("torch_fidelity") is not None


class Moved:
    """Which tensors were moved to ``device``, told from any other CPU by being this very object."""

    def __init__(self, monkeypatch, *networks):
        self.device, self.tensors, plain = torch.device("cpu"), [], torch.Tensor.to

        def to(tensor, *args, **kwargs):
            if any(argument is self.device for argument in args):
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
    assert moved.shapes()[0] == (25, 3, 64, 64) and torch.equal(moved.tensors[0], to_uint8(images))


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


class Stub(torch.nn.Module):
    """As Inception: takes 8-bit pictures of any size and gives features."""

    def __init__(self, *arguments):
        super().__init__()
        self.arguments, self.seen = arguments, []
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, pictures):
        assert pictures.dtype == torch.uint8
        self.seen.append(tuple(pictures.shape))
        return torch.stack([self.scale * pictures.float().mean((1, 2, 3)), pictures[:, 0, 0, 0].float()], 1)


def stubbed(monkeypatch, **more):
    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", Stub)
    return Inception(torch.device("cpu"), **more)


def test_inceptions_features_by_a_stub_network_in_the_order_of_the_pictures(monkeypatch, tmp_path):
    inception = stubbed(monkeypatch, batch=2, weights=tmp_path / "weights.pth")
    assert inception.network.arguments[1:] == (["2048"], str(tmp_path / "weights.pth"))
    assert not inception.network.training
    sizes = [(4, 4), (4, 4), (4, 4), (2, 6), (4, 4)]
    pictures = [torch.full((3, *size), number / 10) for number, size in enumerate(sizes)]
    features = inception.features(pictures)
    levels = torch.tensor([0, 26, 51, 76, 102]).float()  # rounded to 8 bits: 25.5 and 76.5 to even
    assert features[:, 1].tolist() == levels.tolist() and torch.allclose(features[:, 0], 2 * levels)
    assert inception.network.seen == [(2, 3, 4, 4), (1, 3, 4, 4), (1, 3, 2, 6), (1, 3, 4, 4)]
    assert torch.equal(inception.features(torch.stack(pictures[:3])), features[:3])
    assert not features.requires_grad


def test_inceptions_pictures_by_a_stub_network_go_to_where_it_lives(monkeypatch):
    inception = stubbed(monkeypatch)
    moved = Moved(monkeypatch)
    monkeypatch.setattr(inception, "network_device", lambda: moved.device)
    inception.features(torch.zeros(3, 3, 4, 4))
    assert (3, 3, 4, 4) in moved.shapes()


def test_fid_of_a_stub_networks_features(monkeypatch):
    inception, rng = stubbed(monkeypatch), torch.Generator().manual_seed(0)
    real, fake = (torch.rand(60, 3, 4, 4, generator=rng) for _ in range(2))
    one, two = (torch.stack([2 * to_uint8(x).float().mean((1, 2, 3)), to_uint8(x)[:, 0, 0, 0].float()], 1)
                for x in (real, fake))  # fmt: skip
    ours = frechet_distance(inception.features(real), inception.features(fake), resamples=5)
    assert ours == frechet_distance(one, two, resamples=5) and ours.value > 0


@pytest.mark.skipif(HAS_FIDELITY, reason="torch_fidelity is installed")
def test_without_torch_fidelity_the_extra_is_named():
    with pytest.raises(UserError, match=r"needs the extra 'fid': pip install 'advunlearn_lib\[fid\]'"):
        Inception(torch.device("cpu"))


def test_inceptions_weights_that_cannot_be_read_are_one_line(monkeypatch):
    def broken(*_):
        raise RuntimeError("PytorchStreamReader failed\nlong trace")

    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", broken)
    with pytest.raises(UserError, match=r"cannot load Inception's weights: PytorchStreamReader failed$"):
        Inception(torch.device("cpu"))
