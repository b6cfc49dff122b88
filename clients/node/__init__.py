"""What a party's machine runs: Flower's SuperNode, and processes that stay warm beside it."""
