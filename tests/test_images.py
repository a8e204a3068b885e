"""Pictures as floats, arrays and files; the seeds that draws are made with."""

import numpy as np
import pytest
import torch
from PIL import Image

from advunlearn_lib.base.images import from_arrays, read_image, to_arrays, to_uint8, write_image
from advunlearn_lib.base.seeds import derived_seed, generator, prompt_seed


@pytest.fixture
def pictures():
    """Of two sizes, with black, white and everything between."""
    rng = torch.Generator().manual_seed(0)
    found = [torch.rand(3, height, width, generator=rng) for height, width in ((5, 7), (16, 4))]
    found[0][:, 0, 0], found[1][:, 0, 0] = 0, 1
    return found


def test_a_file_keeps_a_picture_within_half_a_step(pictures, tmp_path):
    for number, picture in enumerate(pictures):
        write_image(tmp_path / f"{number}.png", picture)
        again = read_image(tmp_path / f"{number}.png")
        assert again.shape == picture.shape and (again - picture).abs().max() <= 0.5 / 255 + 1e-6
        write_image(tmp_path / "again.png", again)
        assert torch.equal(read_image(tmp_path / "again.png"), again)  # 8 bits lose nothing more


def test_arrays_keep_each_pictures_size(pictures):
    arrays = to_arrays(pictures)
    assert [array.shape for array in arrays] == [(5, 7, 3), (16, 4, 3)]
    for array, picture in zip(arrays, pictures):
        assert array.dtype == np.uint8 and array.flags["C_CONTIGUOUS"]
        assert np.array_equal(array[2, 3], (picture[:, 2, 3] * 255).round().numpy())
        assert torch.equal(from_arrays(array[None])[0], to_uint8(picture) / 255)
    batch = torch.stack([pictures[0], pictures[0].flip(1)])
    assert torch.equal(from_arrays(np.stack(to_arrays(batch))), to_uint8(batch) / 255)


def test_values_are_rounded_not_cut():
    values = torch.tensor([0.0, 0.49 / 255, 0.51 / 255, 254.51 / 255, 1.0])
    assert to_uint8(values).tolist() == [0, 0, 1, 255, 255]


def test_other_files_are_read_in_colour(tmp_path):
    Image.new("L", (4, 2), 51).save(tmp_path / "grey.png")
    assert torch.allclose(read_image(tmp_path / "grey.png"), torch.full((3, 2, 4), 0.2))
    Image.new("RGBA", (2, 2), (255, 0, 0, 255)).save(tmp_path / "through.png")
    assert read_image(tmp_path / "through.png")[:, 0, 0].tolist() == [1, 0, 0]


def test_seeds_are_those_of_published_results():
    assert [derived_seed(0, 5), derived_seed(1, 0), derived_seed(3, 7)] == [5, 1_000_003, 3_000_016]
    for seed, picture, text in ((0, 0, "church"), (4, 17, "a photo of a dagger"), (9, 2**31, "é")):
        letters = sum(ord(letter) * (place + 1) for place, letter in enumerate(text))
        assert prompt_seed(seed, picture, text) == (seed * 7_368_787 + picture * 31 + letters) % 2**31
    assert prompt_seed(0, 1, "ab") == 31 + 97 + 2 * 98
    assert prompt_seed(0, 1, "ab") != prompt_seed(0, 1, "ba")


def test_a_generator_gives_what_its_seed_gives():
    one, two = (torch.randn(3, generator=generator(7)) for _ in range(2))
    assert torch.equal(one, two) and generator(7).device.type == "cpu"
    assert torch.equal(one, torch.randn(3, generator=torch.Generator().manual_seed(7)))
