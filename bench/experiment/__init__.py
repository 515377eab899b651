"""What is asked: trials, the experiment file, and how it unfolds."""
