"""Defences in training: one file each, a loss on the last hidden representation or the logits.

A piece defines

- ``OPTIONS``: its own hyper-parameters and their defaults;
- ``loss(batch, weight, **options)``: the whole training loss (K,) of a batch; ``weight`` (K,) is the models' own;
- optionally ``DRAWS``: how many uniform numbers it needs for every sample of a batch;
- optionally ``learned(members)``: parameters of its own, by name, trained along with the models;
- optionally ``train``: its own training in place of ``fleet.train``, with the same signature, for defences that a loss
  of a whole batch cannot express.
"""
