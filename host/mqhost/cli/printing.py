"""Printing what may come from a board: as it is, and without what would control the terminal."""

from rich.console import Console


def say(console: Console, text: str) -> None:
    """Print `text` as it is: no markup, no colours, no line breaks of the console's own."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)


def clean(text: str) -> str:
    """`text` without control characters: it may come from a board, and goes to a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def clean_lines(text: str) -> str:
    """The same for a text of several lines: newlines and tabs stay."""
    text = text.replace("\r\n", "\n")
    return "".join(part if part in ("\n", "\t") else clean(part) for part in text)
