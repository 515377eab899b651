"""Verdicts, and the formats in which other tools read them."""
