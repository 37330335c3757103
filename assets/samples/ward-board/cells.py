"""How many terminal cells a text takes, and cutting it to so many."""

from __future__ import annotations

import unicodedata


def cell_width(character: str) -> int:
    """0 for a combining mark, 2 for a wide character, 1 for any other."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def width_of(text: str) -> int:
    return sum(cell_width(character) for character in text)


def cut(text: str, cells: int) -> str:
    """As much from its start as fits."""
    taken = 0
    for index, character in enumerate(text):
        taken += cell_width(character)
        if taken > cells:
            return text[:index]
    return text


def cut_before(text: str, cells: int) -> str:
    """As much from its end as fits."""
    taken = 0
    for index in range(len(text) - 1, -1, -1):
        taken += cell_width(text[index])
        if taken > cells:
            return text[index + 1 :]
    return text


def fit(text: str, cells: int) -> str:
    """Exactly so many cells: cut, or filled up with blanks."""
    text = cut(text, cells)
    return text + " " * (cells - width_of(text))
