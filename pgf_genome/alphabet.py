"""The alphabet: A=0, C=1, G=2, T=3, N=4."""

BASES = "ACGT"
N_CODE = len(BASES)
