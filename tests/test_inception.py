"""What Inception's network is fed, up to its first layer: by a stub, and by the real one if installed."""

import importlib.util
import weakref

import numpy as np
import pytest
import torch
from frechet import frechet_distance
from PIL import Image

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import from_arrays, read_image, to_uint8
from advunlearn_lib.data.reference import read_reference
from advunlearn_lib.metrics.inception import Inception

HAS_FIDELITY = importlib.util.find_spec("torch_fidelity") is not None


class Stub(torch.nn.Module):
    """Torch-fidelity's network as far as its first layer, whose output's mean and corner are the features."""

    def __init__(self, *arguments):
        super().__init__()
        self.arguments, self.seen = arguments, []
        self.Conv2d_1a_3x3 = torch.nn.Identity()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, pictures):
        assert pictures.dtype == torch.uint8
        first = self.Conv2d_1a_3x3((pictures.float() - 128) / 128)
        self.seen.append(first)
        return torch.stack([self.scale * first.mean((1, 2, 3)), first[:, 0, 0, 0]], 1)


def stubbed(monkeypatch, **more):
    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", Stub)
    return Inception(torch.device("cpu"), **more)


def gradient(width, height):
    """Red grows to the right, green downwards, blue in stripes."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([across, down, (across * 7) % 256], -1).astype(np.uint8)


def fed_by_the_benchmark(array):
    """Its central square, PIL's bicubic in 8 bits, 2 x / 255 - 1: in numpy, as the source says."""
    height, width = array.shape[:2]
    side = min(height, width)
    down, across = (height - side) // 2, (width - side) // 2
    square = array[down : down + side, across : across + side]
    resized = Image.fromarray(square).resize((299, 299), resample=Image.BICUBIC)
    return 2 * (np.asarray(resized).transpose(2, 0, 1) / 255) - 1


@pytest.mark.parametrize("size", [(640, 480), (480, 641), (512, 512), (200, 299)])
def test_the_network_sees_what_the_benchmarks_does(monkeypatch, size):
    inception, array = stubbed(monkeypatch), gradient(*size)
    inception.features(from_arrays(array[None]))
    ((seen,),) = inception.network.seen
    assert seen.shape == (3, 299, 299)
    assert np.abs(seen.numpy() - fed_by_the_benchmark(array)).max() < 1e-6


def test_a_wide_pictures_sides_are_cut_off(monkeypatch):
    """640 x 480: columns 80 to 559 remain, not squeezed ones."""
    inception = stubbed(monkeypatch)
    inception.features(from_arrays(gradient(640, 480)[None]))
    row = inception.network.seen[0][0, 0, 150]
    assert row[0] == pytest.approx(2 * 80 / 639 - 1, abs=0.01)
    assert row[-1] == pytest.approx(2 * 559 / 639 - 1, abs=0.01)


@pytest.mark.skipif(not HAS_FIDELITY, reason="torch_fidelity is not installed")
def test_the_real_network_sees_it_too(monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as kind

    plain = kind.load_state_dict
    module = "torch_fidelity.feature_extractor_inceptionv3"  # random weights: its input is all that is asked
    monkeypatch.setattr(f"{module}.load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.setattr(kind, "load_state_dict", lambda self, _: plain(self, {}, strict=False))
    inception, seen = Inception(torch.device("cpu")), []
    inception.network.Conv2d_1a_3x3.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert inception.features(from_arrays(gradient(640, 480)[None])).shape == (1, 2048)
    assert np.abs(seen[0][0].numpy() - fed_by_the_benchmark(gradient(640, 480))).max() < 1e-6


def test_features_come_in_the_order_of_the_pictures(monkeypatch):
    inception = stubbed(monkeypatch, batch=2)
    assert inception.network.arguments[1:] == (["2048"],)
    assert not inception.network.training
    sizes = [(4, 4), (4, 4), (4, 4), (2, 6), (4, 4)]
    pictures = [torch.full((3, *size), number / 10) for number, size in enumerate(sizes)]
    features = inception.features(iter(pictures))
    levels = torch.tensor([0, 26, 51, 76, 102]) / 127.5 - 1  # rounded to 8 bits: 25.5 and 76.5 to even
    assert torch.allclose(features, torch.stack([2 * levels, levels], 1), atol=1e-5)
    assert [len(part) for part in inception.network.seen] == [2, 2, 1]
    assert torch.equal(inception.features(torch.stack(pictures[:3])), features[:3])
    assert not features.requires_grad


def test_pictures_go_to_where_the_network_lives(monkeypatch):
    inception, device, moved, plain = stubbed(monkeypatch), torch.device("cpu"), [], torch.Tensor.to

    def to(tensor, *args, **kwargs):
        if args and args[0] is device:
            moved.append(tuple(tensor.shape))
        return plain(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(inception, "network_device", lambda: device)
    inception.features(torch.zeros(3, 3, 4, 4))
    assert moved == [(3, 3, 299, 299)]


def test_fid_is_that_of_the_features(monkeypatch):
    inception, rng = stubbed(monkeypatch), torch.Generator().manual_seed(0)
    levels = torch.randint(256, (2, 60, 1, 1, 1), generator=rng)
    real, fake = (level.expand(60, 3, 4, 4) / 255 for level in levels)
    one, two = (
        torch.stack([2 * x, x], 1) for x in (to_uint8(p)[:, 0, 0, 0] / 127.5 - 1 for p in (real, fake))
    )
    ours = frechet_distance(inception.features(real), inception.features(fake))
    assert ours.value == pytest.approx(frechet_distance(one, two).value, rel=1e-3)
    assert ours.value > 0


def test_a_reference_is_read_file_by_file(monkeypatch, tmp_path):
    """Two at most are in memory whole: the last and the next."""
    for number in range(9):
        Image.new("RGB", (20 + number, 10), (number, 0, 0)).save(tmp_path / f"{number}.png")
    inception, alive, most = stubbed(monkeypatch, batch=2), [], []

    def counted(file):
        picture = read_image(file)
        alive.append(weakref.ref(picture))
        most.append(sum(one() is not None for one in alive))
        return picture

    monkeypatch.setattr("advunlearn_lib.data.reference.read_image", counted)
    features = inception.features(read_reference(tmp_path))
    assert len(features) == len(alive) == 9 and max(most) <= 2
    whole = [read_image(file) for file in sorted(tmp_path.glob("*.png"))]
    assert torch.allclose(features, inception.features(whole), atol=1e-6)


def test_a_picture_that_cannot_be_read_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"the reference picture '.*a\.png' cannot be read: ") as error:
        stubbed(monkeypatch).features(read_reference(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(HAS_FIDELITY, reason="torch_fidelity is installed")
def test_without_torch_fidelity_the_extra_is_named():
    with pytest.raises(UserError, match=r"needs the extra 'fid': pip install 'advunlearn_lib\[fid\]'"):
        Inception(torch.device("cpu"))


def test_weights_that_cannot_be_read_are_one_line(monkeypatch):
    def broken(*_):
        raise RuntimeError("PytorchStreamReader failed\nlong trace")

    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", broken)
    with pytest.raises(UserError, match=r"cannot load Inception's weights: PytorchStreamReader failed$"):
        Inception(torch.device("cpu"))
