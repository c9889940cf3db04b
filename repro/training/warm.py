"""Importing this has the kernel compiled, or loaded as it was compiled before, for processes forked from here on."""

from repro.training import autoencoder, compiled, private

for module in (compiled, private, autoencoder):
    module.warm()
