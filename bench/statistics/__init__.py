"""Statistics as pure functions, arrays in and numbers out: intervals, paired and unpaired comparisons."""
