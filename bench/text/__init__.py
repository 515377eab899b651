"""Numbers and Markdown, each written in one way."""
