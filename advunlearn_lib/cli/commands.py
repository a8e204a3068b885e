"""Every command: what it is called, its options, the module that does it."""

from __future__ import annotations

from advunlearn_lib.cli import item_options, model_options, other_options, pocket_options
from advunlearn_lib.cli.command import Command, stay_offline
from advunlearn_lib.cli.item_options import stay_offline_if_local
from advunlearn_lib.report.items import ITEMS

HELP = "regenerate this item of the paper: its notebook, executed, and its files"
POCKET = "--base data/pocket/v1-4"
JUDGE = "--judge data/pocket/judge-object --labels church --kind object"
PAPER = (
    *(Command(item, "items", HELP, f"{item} --set fid_images=2000",
              item_options.add_table_options if item.startswith("table") else item_options.add_item_options,
              stay_offline_if_local, resumes=True)
      for item in ITEMS),
    Command("00_tour", "beyond", "the whole idea on one page: draw, erase, attack, robustify",
            "00_tour", item_options.add_run_options, stay_offline_if_local, resumes=True),
    Command("deviations", "beyond",
            "what each deviation of the official codes does to robustness and quality",
            "deviations --seeds 3", item_options.add_run_options, stay_offline_if_local, resumes=True),
    Command("beyond_attack_cost", "beyond", "how cheap AdvUnlearn's inner attack may be",
            "beyond_attack_cost --seeds 3", item_options.add_run_options, stay_offline_if_local,
            resumes=True),
    Command("beyond_calibration", "beyond", "how often the small world ranks two models as the paper does",
            "beyond_calibration", item_options.add_run_options, stay_offline_if_local),
    Command("beyond_neighbours", "beyond", "what else each erased model no longer draws",
            "beyond_neighbours", item_options.add_run_options, stay_offline_if_local, resumes=True),
    Command("beyond_oracle", "beyond", "erased models against one that never knew (pocket-train --without)",
            "beyond_oracle", item_options.add_run_options, stay_offline_if_local, resumes=True),
    Command("beyond_settings", "beyond", "whether another setting would have changed a verdict",
            "beyond_settings", item_options.add_run_options, stay_offline_if_local, resumes=True),
    Command("all", "everything", "every item, and the claims that hold", "all --quick",
            item_options.add_item_options, stay_offline_if_local, resumes=True),
    Command("claims", "claims", "the claims alone", "claims --seeds 3", item_options.add_claims_options,
            stay_offline_if_local, resumes=True),
)  # fmt: skip
SHIPPED = (
    Command("pocket-train", "pocket_train", "retrain the pocket model from its sprites, into work/",
            "pocket-train --stage vae", pocket_options.add_train_options, stay_offline, resumes=True),
    Command("pocket-quality", "pocket_quality", "measure the pocket model's quality bars", "pocket-quality",
            pocket_options.add_quality_options, stay_offline),
    Command("tune", "tune", "choose hyper-parameters on the validation concepts", "tune --kind object",
            pocket_options.add_tune_options, stay_offline, resumes=True),
)  # fmt: skip
VERBS = (
    Command("erase", "erase", "train a concept out of a model of your own, and export the trained part",
            f"erase {POCKET} --concept church --kind object --retain retain.txt --out church_unlearned",
            model_options.add_erase_options, resumes=True),
    Command("attack", "attack", "attack a model of your own",
            f"attack {POCKET} --checkpoint church_unlearned --prompts church.txt {JUDGE} --out attacked",
            model_options.add_attack_options, resumes=True),
    Command("evaluate", "evaluate", "CLIP score, and with --reference FID, of a model of your own",
            f"evaluate {POCKET} --clip data/pocket/clip --prompts captions.txt --out quality",
            model_options.add_evaluate_options, resumes=True),
    Command("generate", "generate", "pictures of a model of your own",
            f"generate {POCKET} --prompt 'a photo of a church' --out pictures",
            model_options.add_generate_options, resumes=True),
)  # fmt: skip
OTHERS = (
    Command("doctor", "doctor", "what this machine lacks for a profile", "doctor --profile paper",
            other_options.add_doctor_options, stay_offline_if_local),
    Command("store", "store", "check the finished cells of a store, or clear it up", "store verify",
            other_options.add_store_options),
    Command("bench", "bench", "time whole jobs against the official way of working, side by side (20 min)",
            "bench --quick", other_options.add_bench_options, stay_offline, resumes=True),
    Command("lab", "lab", "JupyterLab on the notebooks; the first time it is installed", "lab",
            other_options.add_lab_options),
    Command("test", "tests", "run the fast tests, or all; other options go to pytest", "test -k attack",
            other_options.add_test_options),
    Command("list", "listing", "list items, settings, methods and attacks", "list methods",
            other_options.add_list_options),
)  # fmt: skip
COMMANDS = {command.name: command for command in (*PAPER, *SHIPPED, *OTHERS, *VERBS)}
