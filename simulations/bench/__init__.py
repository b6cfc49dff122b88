"""Benchmarks: each module has a function `run` that returns flat records.

A record has the keys `case`, `subject`, `metric`, `value` and `unit` (see `record`); the subject is
`fedtrade` or the peer that ran beside it in the same run.
"""
