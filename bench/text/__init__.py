"""Numbers, Markdown and JSON, each written in one way."""
