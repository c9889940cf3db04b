"""What the adversary does to the training set: one file per attack.

Attacks are pure functions of labels, images and a generator; they return indices and labels, so that poisoning copies
no dataset.
"""
