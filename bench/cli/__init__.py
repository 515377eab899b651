"""The command line: typer, rich and exit codes, and nothing else."""
