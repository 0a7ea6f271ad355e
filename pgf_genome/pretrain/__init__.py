"""Pretraining of causal Mamba-1 language models over whole chromosomes."""
