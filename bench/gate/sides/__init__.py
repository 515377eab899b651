"""What a judged process runs. Imports lenet of the judged revision, and nothing of bench by its name."""
