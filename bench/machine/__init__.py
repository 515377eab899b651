"""Where it runs: the machine's fingerprint, whether it is quiet, child processes, locks."""
