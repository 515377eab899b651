"""`python -m bench`: the same as `lenet-bench`."""

from bench.cli import main

main()
