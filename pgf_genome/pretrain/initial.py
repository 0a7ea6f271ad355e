"""Models before training."""

from __future__ import annotations

import math

import torch

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.vocabulary import vocabulary_of
from pgf_genome.pretrain.settings import Training
from pgf_genome.sequence import BASES

TOKENS = (*BASES, "N")
FASTEST, SLOWEST = 0.1, 1e-3  # step sizes of Gu and Dao 2023


def new_model(training: Training) -> CausalMamba:
    """A random model over A, C, G, T, N.

    Weights as in Gu and Dao 2023 (arXiv 2312.00752, section 3.6 and the original code), poles and
    step sizes by ``training.init``. A pole -n with step size delta forgets within 1 / (n delta)
    bases.
    """
    D, Di, N = training.d_model, 2 * training.d_model, training.d_state
    config = MambaConfig(
        d_model=D,
        n_layer=training.n_layer,
        d_inner=Di,
        d_state=N,
        d_conv=4,
        dt_rank=math.ceil(D / 16),
        vocab_rows=len(TOKENS),
    )
    slowest = 1 / training.target_length if training.init == "long" else SLOWEST
    torch.manual_seed(training.seed)
    vocabulary = vocabulary_of({token: i for i, token in enumerate(TOKENS)}, len(TOKENS))
    model = CausalMamba(config, vocabulary)
    with torch.no_grad():
        model.embeddings.weight.normal_(std=0.02)
        for block in model.layers:
            mixer = block.mixer
            mixer.A_log.copy_(torch.arange(1, N + 1).log().expand(Di, N))
            mixer.out_proj.weight.div_(math.sqrt(training.n_layer))
            step = torch.exp(torch.empty(Di).uniform_(math.log(slowest), math.log(FASTEST)))
            mixer.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus inverse
            torch.nn.init.uniform_(
                mixer.dt_proj.weight, -(config.dt_rank**-0.5), config.dt_rank**-0.5
            )
    if training.freeze_recurrent:
        for block in model.layers:
            block.mixer.A_log.requires_grad_(False)
            block.mixer.dt_proj.bias.requires_grad_(False)
    return model
