"""Stored results compared: read two sides, judge them, keep a baseline."""
