"""Every test may interrupt what it starts: a shell's background jobs have SIGINT ignored, and children inherit that."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
