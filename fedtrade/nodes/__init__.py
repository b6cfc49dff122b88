"""Real nodes: what turns a run's configuration into processes on the parties' own machines.

Keys and start kits, Flower's commands, the processes that they become, and their supervision. It
knows neither Flower's Python interface nor Hydra: Flower is started by its commands.
"""
