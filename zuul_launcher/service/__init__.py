"""The only threads and wiring: the loop that owns the state, the outlets that do what it decides, and their start."""
