"""Sums under pairwise masks: SecAgg+ of Bell et al. (2020), https://eprint.iacr.org/2020/704."""
