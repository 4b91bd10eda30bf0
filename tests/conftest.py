"""Lies here so that pytest puts this folder on the path: tests share random_networks.py."""

import signal

# A shell starts what it puts into the background with Ctrl-C ignored, and the programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
