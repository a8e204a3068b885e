"""What this machine lacks is said with the remedy; only what is needed makes ``doctor`` fail."""

import hashlib
import importlib.util

import pytest
import torch

from advunlearn_lib.cli.main import main
from advunlearn_lib.diagnose import doctor
from advunlearn_lib.diagnose.doctor import findings
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET


@pytest.fixture
def without(monkeypatch):
    """Hide modules, as if they were not installed."""
    known = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else known(name))

    return hide


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Nothing is fetched: the hub is offline, the prompt files would be local."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    (tmp_path / "prompts").mkdir()

    def fetched(_):
        raise OSError("no network")

    monkeypatch.setattr("advunlearn_lib.metrics.nudenet_official.fetched", fetched)
    return tmp_path / "prompts"


@pytest.fixture
def not_full(monkeypatch):
    """The dry run, which takes an hour, is not begun."""

    def never(*_):
        raise AssertionError("the dry run was begun")

    monkeypatch.setattr("advunlearn_lib.cli.doctor.print_dry_run", never)


def test_what_is_missing_is_said_with_the_remedy(no_network, tmp_path):
    profile = PAPER.model_copy(update={"prompts_dir": str(no_network)})
    found = {finding.what: finding for finding in findings(profile, tmp_path)}
    prompts, reference = found["prompt files"], found["FID reference"]
    assert not prompts.present and prompts.needed and "nudity.csv" in prompts.remedy
    assert "--prompts-dir FOLDER" in prompts.remedy
    assert not reference.present and "--set reference=" in reference.remedy
    assert "wikiart-vit" in found["judge wikiart-vit"].remedy and not found["judge wikiart-vit"].present
    base = found[PAPER.base]
    assert not base.present and "HF_HUB_OFFLINE is set" in base.remedy and "--base FOLDER" in base.remedy
    assert not found[PAPER.clip].present and "--set clip=FOLDER" in found[PAPER.clip].remedy
    attacks = found[PAPER.attack_clip]
    assert not attacks.present and "--set attack_clip=FOLDER" in attacks.remedy
    assert str(found["prompt files"]).startswith("  MISSING prompt files: ")


def test_everything_that_the_pocket_profile_needs_is_here(tmp_path):
    found = findings(POCKET, tmp_path)
    assert all(finding.present for finding in found if finding.needed)
    assert {POCKET.base, POCKET.clip, "disk", "python", *POCKET.bases.values()} <= {one.what for one in found}


def test_doctor_is_quick_and_content_with_the_pocket_profile(not_full, no_network, capsys):
    assert main(["doctor"]) == 0
    page = capsys.readouterr().out
    assert "everything that is needed is here" in page and "MISSING" not in page


def test_what_is_not_needed_does_not_count(not_full, no_network, without, capsys):
    without("ray")
    assert main(["doctor"]) == 0
    page = capsys.readouterr().out
    assert "  absent  extra 'ray': pip install" in page and "everything that is needed is here" in page


def test_a_processor_that_has_to_imitate_bf16_is_told(not_full, no_network, monkeypatch, capsys):
    """Pictures took twenty times as long there as in fp32, and nothing said why."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert main(["doctor", "--set", "device=cpu", "--set", "picture_precision=bf16"]) == 0
    assert (
        "  absent  bf16: no instructions for it here: many times slower than fp32" in capsys.readouterr().out
    )
    assert main(["doctor"]) == 0
    assert "bf16" not in capsys.readouterr().out


def test_what_is_needed_and_missing_is_counted(not_full, no_network, without, capsys):
    without("ray", "nudenet", "torch_fidelity")
    words = ["--profile", "paper", "--prompts-dir", str(no_network), "--set", "device=cpu"]
    assert main(["doctor", *words]) == 1
    page = capsys.readouterr().out
    assert "  MISSING judge nudenet: pip install" in page and "  MISSING extra 'fid': pip install" in page
    missing, total = page.count("\n  MISSING "), len(page.strip().splitlines()) - 2
    assert f"\n{missing} of {total} things are missing for the profile paper\n" in page and missing > 5


def test_the_nudity_detectors_weights_are_looked_for(no_network, tmp_path, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "nudenet" else known(name))
    missing = doctor.nudity_detector(PAPER)
    assert not missing.present and "no network" in missing.remedy and "--set detector=FILE" in missing.remedy
    (tmp_path / "best.onnx").write_bytes(b"weights")
    local = PAPER.model_copy(update={"detector": str(tmp_path / "best.onnx")})
    there = doctor.nudity_detector(local)
    assert there.present and hashlib.sha256(b"weights").hexdigest() in there.remedy
    assert doctor.nudity_detector(PAPER.model_copy(update={"nudity_detector": "nudenet"})).present


def test_a_full_disk_counts(not_full, no_network, monkeypatch, capsys):
    assert main(["doctor", "--set", "disk_gb=1e6"]) == 1
    assert "  MISSING disk: " in capsys.readouterr().out


@pytest.mark.parametrize(("findings_fine", "dry_run_fine", "code"), [
    (True, True, 0), (True, False, 1), (False, True, 1),
])  # fmt: skip
def test_full_also_runs_everything_once(no_network, monkeypatch, findings_fine, dry_run_fine, code):
    ran = []
    monkeypatch.setattr("advunlearn_lib.cli.doctor.print_findings", lambda *_: findings_fine)
    monkeypatch.setattr("advunlearn_lib.cli.doctor.print_dry_run", lambda *_: ran.append(1) or dry_run_fine)
    assert main(["doctor", "--full"]) == code and ran == [1]
