"""A sweep: start it, train, time, and record every trial."""
