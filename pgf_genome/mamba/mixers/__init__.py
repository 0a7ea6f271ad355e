"""Mixers, one a file: causal recurrences that a stack of blocks is made of."""
