"""The pure core. No clock, randomness, I/O, logging or threads: events in, actions out. Imports `model` only."""
