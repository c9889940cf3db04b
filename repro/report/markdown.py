"""Markdown blocks that render alike on git hosts: escaped text, tables of even columns, folds, anchors, images."""

from collections.abc import Iterable, Sequence

NONE = "\u2014"
MINUS = "\u2212"
SPACE = "\u00a0"  # does not break, so that a figure stays on one line
_SPECIAL = "\\`*_[]<>|#~$"


def escape(text: str) -> str:
    """Text as it should be read, on one line, with no character taken for Markdown or HTML."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in line)


def code(name: str) -> str:
    """A name as it stands in a file."""
    return f"`{name}`"


def link(text: str, target: str) -> str:
    """A link; the text is Markdown already."""
    return f"[{text}]({target})"


def anchor(name: str) -> str:
    """A place that ``#name`` leads to."""
    return f'<a id="{name}"></a>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table of Markdown cells, the first ``left`` columns aligned left and the others right.

    Raises ValueError when a row has not as many cells as the header, or a cell an unescaped bar.
    """
    lines = [list(header), ["---" if i < left else "--:" for i in range(len(header))], *map(list, rows)]
    for line in lines:
        if len(line) != len(header):
            raise ValueError(f"row of {len(line)} cells in a table of {len(header)}: {line}")
        if any("|" in c.replace("\\|", "") or "\n" in c for c in line):
            raise ValueError(f"a cell breaks the table: {line}")
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def details(summary: str, *blocks: str) -> str:
    """Blocks folded away under a line of plain text."""
    return "\n\n".join([f"<details>\n<summary>{escape_html(summary)}</summary>", *blocks, "</details>"])


def escape_html(text: str) -> str:
    """Text for an HTML element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def image(description: str, path: str) -> str:
    """An image with its description for those who do not see it."""
    return f"![{escape(description)}]({path})"


def bullets(items: Iterable[str]) -> str:
    """A list of Markdown items."""
    return "\n".join(f"- {item}" for item in items)


def document(blocks: Iterable[str]) -> str:
    """Blocks with a blank line between them."""
    return "\n\n".join(block for block in blocks if block) + "\n"
