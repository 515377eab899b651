"""Verdicts as files that other tools read: one small module a format, each a pure function from a header and verdicts
to text.
"""
