"""Prints what may come from a board without what would control the terminal."""

from rich.console import Console


def say(console: Console, text: str) -> None:
    """Print `text` as it is: no markup, no colours, no line breaks of the console's own."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)


def clean(text: str) -> str:
    """Return `text` without control characters: it may come from a board, for a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def clean_lines(text: str) -> str:
    """Clean a text of several lines: newlines and tabs stay."""
    text = text.replace("\r\n", "\n")
    return "".join(part if part in ("\n", "\t") else clean(part) for part in text)
