"""How far the library is from the plain re-implementations: same draws, pocket model."""

import copy

import torch

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.seeds import generator, prompt_seed
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.bank import run_path
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from reference import advunlearn as plain
from reference import attack as plain_attack
from reference import methods as plain_methods
from reference import noise as plain_noise
from reference import text as plain_text

DOG, CHURCH = "a photo of a dog", "a photo of a church"
CONCEPT = ["tench", "an image of a tench", "two garbage trucks"]
RETAIN = [DOG, "a photo of a cat", "a photo of a bus", "a bed", "an owl"]
FORGET = ["a church at night", "two churches and a church by the sea", CHURCH, "an image of a church"]
REMAIN = ["a castle", "a photo of a horse"]
OTHERS = {
    "forget_prompts": FORGET, "remain_prompts": REMAIN, "surrogate": ["a guitar"] * 4,
    "names": ["church"],
}  # fmt: skip
OPTIONS = {
    "iterations": 6, "lr": 1e-4, "batch": 1, "steps": 5, "guidance_scale": 3.0, "per_prompt": 3, "eta": 1.0,
    "attack_steps": 3, "attack_lr": 1e-2, "attack_tokens": 1, "attack_step": "sign", "same_path": False,
    "warm_up": 0, "retain_weight": 0.3, "retain_batch": 2, "retain_per_prompt": 1,
}  # fmt: skip
SPM = {
    "steps": 5, "guidance_scale": 3.0, "per_prompt": 3, "batch": 1, "eta": 1.0, "anchor_batch": 4,
    "anchor_weight": 10.0,
}  # fmt: skip
LAYOUTS = ("prefix", "suffix", "replace", "add")
OFFICIAL = ("word_count", "drop_last_update", "accumulate_gradients", "adam_attack", "noise_level_mismatch")
FAST_AT = ("word_count", "drop_last_update", "signed_buffer", "adam_attack", "noise_level_mismatch")
QUIRKS = [(), *((quirk,) for quirk in OFFICIAL), ("signed_buffer",), OFFICIAL, FAST_AT]
GRADIENT = {"attack_step": "gradient", "attack_lr": 2.0}  # moves d about as far as signs do


def gap(ours, theirs):
    """The largest absolute difference of two tensors, or of two numbers."""
    return (torch.as_tensor(ours).double() - torch.as_tensor(theirs).double()).abs().max().item()


def relative_gap(ours, theirs):
    """The largest difference of two lists of tensors, relative to the largest entry."""
    return max(map(gap, ours, theirs)) / max(other.abs().max().item() for other in theirs)


def task(model, concept, retain=RETAIN):
    """A task whose lists all differ, in texts and lengths."""
    return Task(model, concept, list(retain), **OTHERS)


def advunlearn(model, **changes):
    """The library's method, drawing its paths from scratch."""
    return prepare("advunlearn", task(model, CONCEPT), OPTIONS | {"resample": True} | changes)


def reference(model, encoder, quirks=(), layout="prefix", **changes):
    """Its plain counterpart."""
    return plain.Training(model.pipeline, encoder, CONCEPT, RETAIN, OPTIONS | changes, quirks, layout)


def text_encoder(model):
    """Embeddings of soft tokens."""
    ids = model.tokenize([CHURCH])
    words = model.token_embeds(ids)
    words = words + 0.05 * torch.randn(words.shape, generator=generator(0))
    return gap(model.encode(ids, words)[0], plain_text.encode(model.text_encoder, ids[0], words[0]))


def sampling_path(model):
    """States of a guided DDIM path."""
    noise, embeds, empty = model.noise([3]), model.encode_prompts([DOG]), model.unconditional()
    ours, _, _ = run_path(model, noise, embeds, empty, 10, 3.0, 10)
    theirs = plain_noise.ddim_states(model.unet, noise[0], embeds[0], empty[0], 10, 3.0, 10)
    return gap(ours[:, 0], torch.stack(theirs))


def lms(model):
    """Pixels of a picture by 12 steps of LMS."""
    embeds, empty = model.encode_prompts([DOG])[0], model.unconditional()[0]
    latent = plain_noise.lms(model.unet, model.noise([3])[0], embeds, empty, 12, 7.5)
    return gap(
        model.generate([DOG], [3], Sampling("lms", 12, 7.5)), model.decode_latents(latent[None].float())
    )


def erasing_loss(model, layout):
    """The loss of one iteration after an attack, and the gradient of all weights, relative to its largest."""
    method = advunlearn(model, iterations=1, layout=layout)
    ours = method.loss(0, generator(7))
    ours.backward()
    encoder = copy.deepcopy(model.text_encoder).requires_grad_(True)
    other, rng = reference(model, encoder, layout=layout), generator(7)
    theirs = other.erase_loss(0, rng) + OPTIONS["retain_weight"] * other.retain_loss(0, 0, rng)
    theirs.backward()
    others = dict(encoder.named_parameters())
    gradients = [(parameter.grad, others[name].grad) for name, parameter in method.trained.items()]
    return gap(ours.item(), theirs.item()), relative_gap(*zip(*gradients))


def inner_attack(model, quirks, steps, prompts=(0, 1, 2), **changes):
    """Adversarial token embeddings, of each of the concept's ``prompts`` (indices)."""
    method, encoder = advunlearn(model, attack_steps=steps, quirks=set(quirks), **changes), model.text_encoder
    other, gaps = reference(model, encoder, quirks, attack_steps=steps, **changes), []
    for prompt in prompts:
        path = prompt * plain.NOISES + 1
        ours = method.attack(torch.tensor([path]), generator(5))[0]
        gaps.append(gap(ours, other.attack(path, 0, generator(5))))
    return max(gaps)


def training(model, quirks, iterations=6):
    """The losses of so many iterations, and the trained weights."""
    ours = train(advunlearn(model, quirks=set(quirks), iterations=iterations), seed=2)
    encoder = copy.deepcopy(model.text_encoder)
    losses = reference(model, encoder, quirks, iterations=iterations).run(2)
    pairs = zip(ours.model.text_encoder.parameters(), encoder.parameters(), strict=True)
    return gap(ours.losses, losses), max(gap(a, b) for a, b in pairs)


def uce(model, version, preserved=(), guide=""):
    """The edited keys and values; ``preserved`` are the retain set of 2025, the artists of 2023."""
    concepts, also = [CHURCH, "tench", "a chapel"], ["a chapel"]
    options = {"version": version, "guide": guide, "also": also, "preserved": [*preserved, "Church"]}
    if version == 2025:
        options |= {"preserve": bool(preserved), "preserve_scale": 0.7}
        one = task(model, concepts[:2], preserved)
        theirs = plain_methods.uce_2025(model.pipeline, concepts, guide, preserved, 0.5, 1.0, 0.7)
    else:
        one = task(model, concepts[:2])
        theirs = plain_methods.uce_2023(model.pipeline, concepts, guide, preserved)
    method = prepare("uce", one, options)
    assert set(theirs) == set(method.trained)
    return max(gap(parameter.detach(), theirs[name]) for name, parameter in method.trained.items())


def fmn(model):
    """The loss on prompts of different lengths, and the gradient of all weights.

    Each gradient is relative to its largest.
    """
    options = {"per_prompt": 1, "sampling_steps": 2, "guidance_scale": 1.0, "batch": 6}
    method = prepare("fmn", task(model, ["church"]), options)
    ours = method.loss(0, generator(7))
    ours.backward()
    batch = method.forget.sample_batch(6, generator(7))
    unet = copy.deepcopy(model.unet).requires_grad_(True)
    texts = [FORGET[number] for number in batch.prompt]
    theirs = plain_methods.fmn_loss(model.pipeline, unet, batch.latents, batch.timesteps, texts, "church")
    theirs.backward()
    others = dict(unet.named_parameters())
    gradients = [(p.grad, others[n].grad) for n, p in method.trained.items() if p.grad is not None]
    return gap(ours.item(), theirs.item()), relative_gap(*zip(*gradients))


def spm(model, quirks=()):
    """The loss with an adapter that already does something, and its share of the anchors."""
    method = prepare("spm", task(model, [CHURCH]), SPM | {"resample": True, "quirks": set(quirks)})
    rng = generator(1)
    with torch.no_grad():
        for parameter in method.trained.values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
        ours = method.loss(0, generator(7)).item()
        erase, stay = plain_methods.SPM(model.pipeline, method.model.unet, CHURCH, SPM, quirks).loss(
            0, generator(7)
        )
    return gap(ours, (erase + stay).item()), erase.item(), stay.item()


def attack(model, name, quirks=(), original=None):
    """How many of three rounds' texts differ, and the searched variable."""
    prompt = EvaluationPrompt(CHURCH, 3)
    z0 = model.encode_images(model.generate([prompt.text], [prompt.seed], Sampling("dpm++", 6, 5.0)))
    budget = Budget(tokens=3, timesteps=3, steps=6, quirks=quirks)
    run = ATTACKS[name](model, lambda images: torch.zeros(len(images), dtype=torch.bool), budget,
                        Sampling("dpm++", 2, 5.0), seed=4, original=original or model)  # fmt: skip
    search, texts = run.search([prompt], z0), []
    for number in range(3):
        search.advance(number)
        texts += search.texts()
    seed = prompt_seed(4, prompt.seed, prompt.text)
    other = plain_attack.Prompt(model.pipeline, prompt.text, z0[0], seed, "reseeded_evaluation" in quirks)
    more = () if original is None else (original.pipeline,)
    search_plainly = {"UnlearnDiffAtk": plain_attack.unlearndiffatk, "P4D": plain_attack.p4d}[name]
    theirs, variable = search_plainly(other, *more, [10, 500, 990], 6, 3, 0.01, 0.1)
    differ = sum(a != b for a, b in zip(texts, theirs, strict=True))
    return differ, gap(search.variable.detach()[0], variable)


def changed(model):
    """The model with another text encoder."""
    other = model.copy_of("text_encoder")
    with torch.no_grad():
        other.text_encoder.final_layer_norm.bias.add_(0.02)
    return other
