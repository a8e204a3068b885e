"""What a notebook's kernel has from its birth: imported once, by the process that kernels are forks of."""

import os

# as a kernel would say itself, and before matplotlib looks
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

import ipykernel.kernelapp
import matplotlib.pyplot
import seaborn

import advunlearn_lib.report.plots
import advunlearn_lib.report.show

__all__ = ["advunlearn_lib", "ipykernel", "matplotlib", "seaborn"]
