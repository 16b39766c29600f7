"""Tables in Markdown and in plain text."""

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: int = 1) -> str:
    """A Markdown table; all but the first `text_columns` columns are aligned to the right."""
    align = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, align, *rows))


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the columns aligned to the left by spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
