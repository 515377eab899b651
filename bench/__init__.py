"""The instrument: sweeps LeNet variants, times them, and keeps what it saw. Importing this imports nothing heavy.

From Python it is used through `bench.api`; docs/architecture.md says where everything else is.
"""
