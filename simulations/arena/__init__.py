"""The arena: which rule withstands which attack, on which problem, with how many liars.

`fedtrade arena` sweeps rule x attack x share of liars x heterogeneity x seed. Each cell runs the
real strategy over the in-process grid; see `docs/arena.md`.
"""
