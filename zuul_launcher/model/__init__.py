"""Nouns only: what the gate speaks about. Imports nothing of ours; all data, no behaviour beyond looking things up."""
