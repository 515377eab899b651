"""Arrays in, numbers out: intervals, paired and unpaired comparisons."""
