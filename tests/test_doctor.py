import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.random_weights import build_unet, build_vae, full_tokenizer, text_config
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.execute.doctor import dry_run, findings, report, variants
from advunlearn_lib.execute.memory import account, size
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET


def test_what_is_missing_is_said_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = {
        finding.what: finding
        for finding in findings(PAPER.model_copy(update={"prompts_dir": str(tmp_path)}), tmp_path)
    }
    assert not told["prompt files"].fine and "nudity.csv" in told["prompt files"].told
    assert not told["FID reference"].fine and "--set reference=" in told["FID reference"].told
    assert "wikiart-vit" in told["judge wikiart-vit"].told
    assert all(finding.fine for finding in findings(POCKET, tmp_path))


def test_the_dry_run_covers_every_method_of_both_profiles():
    assert variants(PAPER) == variants(POCKET)
    assert {method for method, _ in variants(PAPER)} >= {
        "advunlearn",
        "esd",
        "fmn",
        "uce",
        "ac",
        "spm",
        "salun",
        "erasediff",
        "scissorhands",
    }


def test_the_dry_run_reports_time_and_peak(monkeypatch):
    monkeypatch.setattr("advunlearn_lib.doctor.ATTACKS", {"UnlearnDiffAtk": None})
    monkeypatch.setattr("advunlearn_lib.doctor.variants", lambda profile: [("esd", "unet")])
    table = dry_run(POCKET, None)
    assert table.what.tolist() == ["generate", "esd unet", "attack UnlearnDiffAtk"]
    assert (table.seconds > 0).all() and table.peak_gb.between(0.1, 8).all()


def test_the_dry_run_goes_on_past_what_fails_and_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("advunlearn_lib.doctor.ATTACKS", {})
    monkeypatch.setattr(
        "advunlearn_lib.doctor.variants", lambda profile: [("no such method", "unet"), ("uce", "unet")]
    )
    with pytest.raises(UserError, match="1 of 3 do not work here: no such method unet"):
        report(POCKET, tmp_path, dry=True)
    assert "KeyError: 'no such method'" in capsys.readouterr().out


def test_full_size_is_the_published_size(model):
    with torch.device("meta"):
        unet, vae = build_unet(), build_vae()
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    tokenizer = full_tokenizer(model.tokenizer)
    assert len(tokenizer) == text_config().vocab_size and tokenizer.model_max_length == 77
    words = model.tokenizer("a photo of a church").input_ids[1:-1]
    assert tokenizer("a photo of a church").input_ids == [49406, *words, 49407]
    assert "<30000>" in tokenizer.decode([30000])


def test_the_account_counts_each_tensor_once(model):
    run = prepare(
        "esd",
        Task(model, ["church"]),
        {"component": "text_encoder", "group": "full", "iterations": 1, "steps": 2, "per_prompt": 1},
    )
    with account() as ledger:
        train(run)
    told = ledger.of(run)
    parts = [model.unet, model.pipeline.vae, model.text_encoder, run.model.text_encoder]
    assert told["weights_gb"] * 1e9 == sum(size(p for p in part.parameters()) for part in parts)
    trained = sum(p.numel() for p in run.trained.values())
    assert told["moments_gb"] * 1e9 == 8 * trained
    assert ledger.now == 0 < told["activations_gb"] * 1e9 == ledger.most
    a, b = torch.ones(1000, requires_grad=True), torch.ones(1000)
    with account() as ledger:
        c = (a * b) * b  # saves b twice; the product is not needed
        assert ledger.now == 4000
        del c
    assert ledger.now == 0
