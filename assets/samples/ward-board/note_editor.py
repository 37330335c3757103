"""One line of text being typed: what is in it, and where the cursor stands."""

from __future__ import annotations

# A note is a remark, not a report; without a bound a stuck key would fill the memory.
MAX_LENGTH = 400


class NoteEditor:
    """A draft. It is nowhere but in this process' memory until it is saved."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0

    def insert(self, text: str) -> None:
        """Puts printable characters at the cursor; anything else, and what is too much, is dropped."""
        typed = "".join(character for character in text if character.isprintable())
        typed = typed[: MAX_LENGTH - len(self.text)]
        self.text = self.text[: self.cursor] + typed + self.text[self.cursor :]
        self.cursor += len(typed)

    def delete_before(self) -> None:
        if self.cursor > 0:
            self.text = self.text[: self.cursor - 1] + self.text[self.cursor :]
            self.cursor -= 1

    def delete_at(self) -> None:
        self.text = self.text[: self.cursor] + self.text[self.cursor + 1 :]

    def move(self, step: int) -> None:
        self.cursor = max(0, min(len(self.text), self.cursor + step))

    def to_start(self) -> None:
        self.cursor = 0

    def to_end(self) -> None:
        self.cursor = len(self.text)

    def clear(self) -> None:
        self.text = ""
        self.cursor = 0
