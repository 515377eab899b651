"""The console script, and `python -m bench`: an interrupt ends in one line also while the command still imports."""

import sys


def main() -> None:
    """Runs `bench.cli`."""
    try:
        from bench.cli import main as run_cli

        run_cli()
    except KeyboardInterrupt:
        print("lenet-bench: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
