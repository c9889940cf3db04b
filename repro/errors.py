"""The one error users see as a single line."""


class ReproError(Exception):
    """Bad input or a missing piece: the message is one clear line naming file and field.

    The command line prints it without a traceback and exits with code 2.
    """
