"""Importing this loads the compiled kernel for processes forked afterwards, or compiles it if that was never done.

As a program (``python -m repro.harness.warm PID``) it does so for as long as the process PID lives, and leaves Ctrl-C
to that process: compilation must not be interrupted.
"""

import sys

if __name__ == "__main__":
    import psutil

    from repro.harness import uninterrupted  # noqa: F401
    from repro.harness.lifetime import end_with

    end_with(psutil.Process(int(sys.argv[1])))

from repro.kernel import cache
from repro.training import autoencoder, compiled, private

for module in (compiled, private, autoencoder):
    module.warm()
cache.complete().touch()
