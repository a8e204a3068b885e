"""What needs an extra: NudeNet's real detector, Ray. Skipped where they are not installed; CI installs
them.
"""

import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.diffusion.token_edit import place, token_count
from advunlearn_lib.metrics.nudenet import NudeNetJudge
from advunlearn_lib.metrics.nudenet_classes import EXPOSED
from advunlearn_lib.profiles.pocket import POCKET


def test_nudenet_sees_pictures_as_it_sees_their_files(tmp_path):
    pytest.importorskip("nudenet")
    images = torch.from_numpy(fresh_scenes(POCKET.sprites, 96).images).permute(0, 3, 1, 2).float() / 255
    judge = NudeNetJudge(list(EXPOSED))
    ours = judge.detections(images)
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(path)
        theirs = judge.detector.detect(str(path))
        assert [(d["class"], d["box"]) for d in ours[number]] == [(d["class"], d["box"]) for d in theirs]
        assert [d["score"] for d in ours[number]] == pytest.approx([d["score"] for d in theirs], abs=1e-4)
    assert any(ours) and judge(images).shape == (96,)


def test_any_exposed_class_above_the_threshold_counts(monkeypatch):
    pytest.importorskip("nudenet")
    judge = NudeNetJudge(["FEET_EXPOSED", "BELLY_EXPOSED"])
    found = [
        [("FEET_EXPOSED", 0.5)],
        [("FEET_EXPOSED", 0.49), ("FACE_FEMALE", 0.9)],
        [],
        [("ANUS_EXPOSED", 0.9)],
    ]
    told = [[{"class": name, "score": score} for name, score in one] for one in found]
    monkeypatch.setattr(judge, "detections", lambda images: told)
    assert judge(torch.zeros(4, 3, 8, 8)).tolist() == [True, False, False, False]
    with pytest.raises(UserError, match="unknown NudeNet class 'FEET'"):
        NudeNetJudge(["FEET"])


@pytest.fixture(scope="module")
def clip_tokenizer():
    """CLIP's own vocabulary, from the file that a PyPI package ships; its 49,408 tokens in the published
    order.
    """
    found = importlib.util.find_spec("open_clip")
    if found is None:
        pytest.skip("open_clip_torch is not installed")
    lines = (
        gzip.decompress((Path(found.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes())
        .decode()
        .split("\n")
    )
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    characters = list(bytes_to_unicode().values())
    words = [
        *characters,
        *(f"{c}</w>" for c in characters),
        *("".join(pair) for pair in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77, pad_token="<|endoftext|>")


def test_nudity_and_tench_are_two_tokens_and_are_kept_whole(clip_tokenizer):
    assert len(clip_tokenizer) == 49408
    pieces = {
        word: clip_tokenizer.tokenize(word)
        for word in ("nudity", "tench", "church", "parachute", "garbage truck", "Van Gogh")
    }
    assert pieces["nudity"] == ["nu", "dity</w>"] and pieces["tench"] == ["ten", "ch</w>"]
    assert [len(pieces[word]) for word in ("church", "parachute", "garbage truck", "Van Gogh")] == [
        1,
        1,
        2,
        2,
    ]
    ids = torch.tensor(clip_tokenizer("nudity", padding="max_length").input_ids)
    assert token_count(ids, clip_tokenizer.eos_token_id) == 2
    prompt = place(ids[None, :, None].float(), torch.full((1, 1, 1), -1.0), [2], "prefix")[0, :5, 0]
    assert prompt.tolist() == [49406, -1, *ids[1:3].tolist(), 49407]


def table(out):
    return pd.read_csv(out / "table3.csv")[["method", "component", "metric", "reproduced"]]


def command(out, *more):
    quick = ["--quick", "--set", "prompts=4", "--set", "fid_images=40", "--out", str(out)]
    return [sys.executable, "-m", "advunlearn_lib.cli", "table3", *quick, *more]


def environment(store):
    return os.environ | {
        "ADVUNLEARN_STORE": str(store),
        "OMP_NUM_THREADS": "1",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Table 3 as one process after the other computes it."""
    root = tmp_path_factory.mktemp("alone")
    subprocess.run(command(root), cwd=ROOT, env=environment(root / "store"), check=True, capture_output=True)
    return table(root)


def test_two_processes_share_a_cell_and_get_the_same(alone, tmp_path):
    subprocess.run(
        command(tmp_path, "--processes", "2"),
        cwd=ROOT,
        env=environment(tmp_path / "store"),
        check=True,
        capture_output=True,
    )
    pd.testing.assert_frame_equal(table(tmp_path), alone, rtol=1e-3)


def test_ray_survives_the_death_of_a_worker_and_gets_the_same(alone, tmp_path):
    pytest.importorskip("ray")
    process = subprocess.Popen(
        command(tmp_path, "--executor", "ray"),
        cwd=ROOT,
        env=environment(tmp_path / "store"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    victim = worker_at_work(process)
    os.kill(victim, signal.SIGKILL)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output.decode()[-2000:]
    pd.testing.assert_frame_equal(table(tmp_path), alone, rtol=1e-3)
    assert all(json.loads(path.read_text())["commit"] for path in (tmp_path / "store").rglob("result.json"))


def worker_at_work(process):
    """The process id of a Ray worker that is computing a cell."""
    for _ in range(600):
        listed = subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        found = [int(line.split()[0]) for line in listed if "ray::work" in line]
        if found:
            time.sleep(2)
            return found[0]
        assert process.poll() is None, process.stdout.read().decode()[-2000:]
        time.sleep(0.2)
    raise AssertionError("no worker began")


def test_an_unknown_executor_is_named(tmp_path):
    pytest.importorskip("ray")
    done = subprocess.run(
        [*command(tmp_path), "--executor", "slurm"],
        cwd=ROOT,
        env=environment(tmp_path / "store"),
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 2
        and "unknown executor 'slurm' (allowed: local, ray, ray://ADDRESS)" in done.stderr
    )
