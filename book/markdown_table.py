"""Tables in Markdown, for the pages that are written when the book is built."""


def format_table(lines):
    """Return lines of cells, the second of which is the rule under the header, as a table."""
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
