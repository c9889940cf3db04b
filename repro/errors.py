"""The one error users see as a single line."""


class ReproError(Exception):
    """Bad input or a missing piece: the message is one clear line naming file and field.

    The command line prints it without a traceback and exits with code 2.
    """


class WorkerLostError(ReproError):
    """A training process was killed; the command leaves without taking down what is left of the others."""
