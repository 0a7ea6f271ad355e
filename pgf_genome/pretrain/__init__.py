"""Pretraining of causal Mamba-1 language models over whole chromosomes."""

from pgf_genome.pretrain.corpus import Corpus, training_intervals
from pgf_genome.pretrain.evaluation import (
    bits_per_base,
    interpolated_bits_per_base,
    markov_bits_per_base,
)
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import BPTT, INITIALISATIONS, Training
from pgf_genome.pretrain.training import Learner, train

__all__ = [
    "BPTT",
    "INITIALISATIONS",
    "Corpus",
    "Learner",
    "Training",
    "bits_per_base",
    "interpolated_bits_per_base",
    "markov_bits_per_base",
    "new_model",
    "save_model",
    "train",
    "training_intervals",
]
