"""Homomorphic sums that a key holder opens."""
