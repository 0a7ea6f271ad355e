"""The selective scan and the causal convolution: state in, state out, differentiable in both.

``reference.py`` holds the equations, ``function.py`` the differentiable operations on compiled
kernels, with the same signatures.
"""

from pgf_genome.scan.function import causal_conv, selective_scan

__all__ = ["causal_conv", "selective_scan"]
