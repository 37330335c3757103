"""Draws the board: from what it knows and a size in cells to lines of styled text.

Pure: nothing is printed here, so that tests can look at every size, the silly ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from board import Board, Patient
from cells import cut, cut_before, fit, width_of

MIN_WIDTH = 24
MIN_HEIGHT = 5

KEYS = "Up/Down choose   type a note   Enter save   Esc discard   Ctrl-G given   Ctrl-T order   Ctrl-X quit"
KEYS_SHORT = "Up/Down  Enter save  Esc discard  ^G given  ^T order  ^X quit"


class Style(Enum):
    """What a piece of text is; the terminal's half decides how that looks."""

    PLAIN = "plain"
    TITLE = "title"
    HEADING = "heading"
    CHOSEN = "chosen"
    DUE = "due"
    SOON = "soon"
    DRAFT = "draft"
    QUIET = "quiet"


Line = list[tuple[str, Style]]


@dataclass
class Picture:
    """What a screen shows. `cursor` is row and column of the note's cursor, if it can be seen."""

    lines: list[Line]
    cursor: tuple[int, int] | None


def draw(board: Board, now: float, clock: str, pid: int, width: int, height: int) -> Picture:
    """At most `height` lines of at most `width` cells each, for any size from nothing upwards."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        message = cut("window too small", max(0, width))
        return Picture([[(message, Style.PLAIN)]] if height > 0 and message else [], None)

    lines = [_title(board, clock, width)]
    bottom, cursor = _bottom(board, now, pid, width, log_lines=max(0, min(4, height - 18)))
    room = height - len(lines) - len(bottom)
    if room > 2:
        lines.append(_heading(width))
        room -= 1
    lines.extend(_patients(board, now, width, room))
    lines.extend([] for _ in range(height - len(lines) - len(bottom)))
    first = len(lines)
    lines.extend(bottom)
    place = (first + cursor[0], cursor[1]) if cursor is not None else None
    return Picture(lines[:height], place if place is not None and place[0] < height else None)


def _title(board: Board, clock: str, width: int) -> Line:
    left = f" {board.ward}   {len(board.rows())} patients (all invented)"
    right = f"{clock} "
    gap = width - width_of(left) - width_of(right)
    text = left + " " * gap + right if gap > 0 else left
    return [(fit(text, width), Style.TITLE)]


def _columns(width: int) -> list[tuple[str, int]]:
    """The columns that this width has room for, most important first, in the order shown."""
    columns = [("Bed", 6), ("Patient", 24), ("Next medication", 0)]
    used = sum(cells for _, cells in columns)
    if width >= used + 14 + 26:
        columns.insert(2, ("Admitted", 14))
        used += 14
    if width >= used + 5 + 26:
        columns.insert(2, ("Age", 5))
        used += 5
    if width >= used + 22 + 30:
        columns.insert(3, ("Reason", 22))
        used += 22
    return columns


def _heading(width: int) -> Line:
    text = " " + "".join(
        fit(name, cells) if cells else name for name, cells in _columns(width)
    )
    return [(fit(text, width), Style.HEADING)]


def _patients(board: Board, now: float, width: int, room: int) -> list[Line]:
    rows = board.rows()
    chosen = rows.index(board.chosen)
    # Scrolled just so far that the chosen one is in sight.
    first = max(0, min(chosen - room // 2, len(rows) - room))
    return [_patient(board, patient, now, width) for patient in rows[first : first + max(0, room)]]


def _patient(board: Board, patient: Patient, now: float, width: int) -> Line:
    medication = patient.next_medication()
    left = medication.seconds_left(now)
    due = f"{medication.name} {medication.dose} {in_words(left)}"
    values = {
        "Bed": patient.bed,
        "Patient": patient.name + (" *" if patient.editor.text else ""),
        "Age": str(patient.age),
        "Reason": patient.reason,
        "Admitted": long_duration(now - patient.admitted_at),
    }
    is_chosen = patient is board.chosen
    base = Style.CHOSEN if is_chosen else Style.PLAIN
    due_style = Style.DUE if left < 0 else Style.SOON if left < 5 * 60 else base
    start = (">" if is_chosen else " ") + "".join(
        fit(values[name], cells) for name, cells in _columns(width) if cells
    )
    start = cut(start, width)
    rest = width - width_of(start)
    return [(start, base), (fit(due, rest), due_style)]


def _bottom(
    board: Board, now: float, pid: int, width: int, log_lines: int
) -> tuple[list[Line], tuple[int, int] | None]:
    patient = board.chosen
    lines: list[Line] = []
    for entry in board.log[len(board.log) - log_lines :] if log_lines else []:
        age = long_duration(now - entry.at)
        lines.append([(cut(f" {age} ago: {entry.text}", width), Style.QUIET)])
    saved = patient.note or "none"
    lines.append([(cut(f" Note, bed {patient.bed}: {saved}", width), Style.PLAIN)])

    label = " New note: "
    room = max(1, width - width_of(label) - 1)
    editor = patient.editor
    # The part around the cursor, when the draft is longer than the line.
    before = cut_before(editor.text[: editor.cursor], room)
    after = cut(editor.text[editor.cursor :], room - width_of(before))
    cursor = (len(lines), width_of(label) + width_of(before))
    lines.append([(label, Style.PLAIN), (before + after, Style.DRAFT)])

    unsaved = f"{board.drafts()} unsaved" if board.drafts() else "all saved"
    status = f" Up {clock_duration(board.uptime_seconds(now))}   PID {pid}   {board.overdue(now)} overdue   {unsaved}"
    lines.append([(fit(status, width), Style.TITLE)])
    keys = KEYS if width_of(KEYS) < width else KEYS_SHORT
    lines.append([(cut(f" {keys}", width), Style.QUIET)])
    return lines, cursor if cursor[1] < width else None


def in_words(seconds_left: float) -> str:
    """"in 04:12", or "DUE 00:31 ago" once the time is past."""
    if seconds_left < 0:
        return f"DUE {short_duration(-seconds_left)} ago"
    return f"in {short_duration(seconds_left)}"


def short_duration(seconds: float) -> str:
    """Minutes and seconds below an hour, hours and minutes above."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60:02}:{whole % 60:02}"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def long_duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes >= 1440:
        return f"{minutes // 1440} d {minutes % 1440 // 60} h"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


def clock_duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
