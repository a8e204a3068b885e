"""Noise schedule, DDIM and LMS, written out from their formulas."""

import numpy as np
import torch
from scipy.integrate import quad

T = 1000


def alpha_bars():
    """abar_t of Stable Diffusion's scaled-linear betas."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, T) ** 2
    return torch.cumprod(1 - betas, 0)


def noised(z0, eps, t):
    """z_t."""
    abar = alpha_bars()[t]
    return abar**0.5 * z0 + (1 - abar) ** 0.5 * eps


def predict(unet, z, t, embeds):
    """eps(z_t, t, c) of one latent [c, h, w]."""
    return unet(z[None], torch.tensor([t], dtype=torch.float32), embeds[None]).sample[0]


def guided(unet, z, t, embeds, empty, scale):
    """Classifier-free guidance by two separate calls."""
    blank = predict(unet, z, t, empty)
    return blank + scale * (predict(unet, z, t, embeds) - blank)


def ddim_grid(steps):
    """Timesteps of DDIM, pure noise first."""
    return [k * (T // steps) + 1 for k in reversed(range(steps))]


@torch.no_grad()
def ddim_states(unet, noise, embeds, empty, steps, scale, stop):
    """z at the first ``stop`` grid points of a guided DDIM path."""
    abar, grid, z, states = alpha_bars(), ddim_grid(steps), noise, []
    for t in grid[:stop]:
        states.append(z)
        eps = guided(unet, z, t, embeds, empty, scale)
        before = t - T // steps
        a, b = abar[t], abar[before] if before >= 0 else abar[0]
        z0 = (z - (1 - a) ** 0.5 * eps) / a**0.5
        z = b**0.5 * z0 + (1 - b) ** 0.5 * eps
    return states


@torch.no_grad()
def lms(unet, noise, embeds, empty, steps, scale, order=4):
    """Linear multistep sampling (Katherine Crowson's k-diffusion) at timesteps evenly from 999 to 0: z_0."""
    abar = alpha_bars().double().numpy()
    every = ((1 - abar) / abar) ** 0.5
    timesteps = np.linspace(T - 1, 0, steps)
    sigmas = np.append(np.interp(timesteps, np.arange(T), every), 0.0)
    x, slopes = noise * float(sigmas[0]), []
    for i, t in enumerate(timesteps):
        z = x / float((sigmas[i] ** 2 + 1) ** 0.5)
        slopes.append(guided(unet, z, t, embeds, empty, scale))
        used = min(i + 1, order)

        def coefficient(j, i=i, used=used):
            def polynomial(tau):
                others = (k for k in range(used) if k != j)
                return np.prod([(tau - sigmas[i - k]) / (sigmas[i - j] - sigmas[i - k]) for k in others])

            return quad(polynomial, sigmas[i], sigmas[i + 1], epsrel=1e-4)[0]

        x = x + sum(float(coefficient(j)) * slopes[-1 - j] for j in range(used))
    return x
