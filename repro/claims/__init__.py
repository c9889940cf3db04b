"""The papers' claims as data, the judge that compares them with evidence, and the gate.

Reads evidence alone: nothing here trains, and nothing here imports the training code or torch.
"""
