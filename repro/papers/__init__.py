"""The papers: one folder each, with its claims and experiments, and what they share."""
