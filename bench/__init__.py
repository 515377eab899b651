"""The instrument: sweeps LeNet variants, times them, and keeps what it saw. Importing this imports nothing heavy."""
