"""Federated learning for trading firms: the library, arrays in and arrays out."""
