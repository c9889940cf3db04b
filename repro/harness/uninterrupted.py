"""Importing this leaves Ctrl-C, which reaches all of a terminal's processes, to the process that started this one."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
