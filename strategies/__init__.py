"""How a round is run: Flower strategies and the ServerApp around the library `fedtrade`."""
