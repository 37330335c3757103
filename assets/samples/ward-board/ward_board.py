"""A ward board for the terminal: the sample application that Torpor captures and restores.

Everything that it shows lives in this process' memory only, as in many a real application: the timers,
the notes, and above all the note that is typed and not yet saved. Python 3.9 or later, nothing else.
"""

from __future__ import annotations

import curses
import locale
import os
import signal
import sys
import time
from types import FrameType

from board import Board, sample_board
from screen import Picture, Style, draw

# Short enough that a second never seems to be left out.
REDRAW_MS = 200

CTRL_G = "\x07"
CTRL_T = "\x14"
CTRL_X = "\x18"
ESCAPE = "\x1b"


class Quit(Exception):
    """Somebody asked the board to end."""


def handle_key(board: Board, key: str | int, now: float) -> None:
    """Does what a key asks for; keys that mean nothing here are ignored."""
    editor = board.chosen.editor
    if key == CTRL_X:
        raise Quit
    if key == curses.KEY_UP:
        board.choose_next(-1)
    elif key == curses.KEY_DOWN:
        board.choose_next(1)
    elif key in ("\n", "\r", curses.KEY_ENTER, curses.KEY_F2):
        board.save_note(now)
    elif key == ESCAPE:
        editor.clear()
    elif key == CTRL_G:
        board.give_medication(now)
    elif key == CTRL_T:
        board.switch_order()
    elif key in ("\x7f", "\b", curses.KEY_BACKSPACE):
        editor.delete_before()
    elif key == curses.KEY_DC:
        editor.delete_at()
    elif key == curses.KEY_LEFT:
        editor.move(-1)
    elif key == curses.KEY_RIGHT:
        editor.move(1)
    elif key == curses.KEY_HOME:
        editor.to_start()
    elif key == curses.KEY_END:
        editor.to_end()
    elif isinstance(key, str):
        editor.insert(key)


def attributes() -> dict[Style, int]:
    """How each style looks here, also on a terminal without colours."""
    looks = {
        Style.PLAIN: curses.A_NORMAL,
        Style.TITLE: curses.A_REVERSE,
        Style.HEADING: curses.A_UNDERLINE,
        Style.CHOSEN: curses.A_BOLD,
        Style.DUE: curses.A_BOLD | curses.A_REVERSE,
        Style.SOON: curses.A_BOLD,
        Style.DRAFT: curses.A_BOLD,
        Style.QUIET: curses.A_DIM,
    }
    try:
        if curses.has_colors():
            curses.start_color()
            curses.use_default_colors()
            curses.init_pair(1, curses.COLOR_RED, -1)
            curses.init_pair(2, curses.COLOR_YELLOW, -1)
            curses.init_pair(3, curses.COLOR_CYAN, -1)
            looks[Style.DUE] = curses.A_BOLD | curses.color_pair(1)
            looks[Style.SOON] = curses.color_pair(2)
            looks[Style.DRAFT] = curses.A_BOLD | curses.color_pair(3)
    except curses.error:
        pass
    return looks


def show(window: curses.window, picture: Picture, looks: dict[Style, int]) -> None:
    window.erase()
    for row, line in enumerate(picture.lines):
        column = 0
        for text, style in line:
            try:
                window.addstr(row, column, text, looks[style])
            except curses.error:
                # The window shrank meanwhile, or the text ended in the last cell, after which the
                # cursor has no place: what fits has been written.
                pass
            column = window.getyx()[1]
    try:
        if picture.cursor is not None:
            window.move(*picture.cursor)
        curses.curs_set(0 if picture.cursor is None else 1)
    except curses.error:
        pass
    window.refresh()


def run(window: curses.window) -> None:
    looks = attributes()
    window.keypad(True)
    window.timeout(REDRAW_MS)
    board = sample_board(time.monotonic())
    while True:
        height, width = window.getmaxyx()
        clock = time.strftime("%H:%M:%S")
        show(window, draw(board, time.monotonic(), clock, os.getpid(), width, height), looks)
        try:
            key = window.get_wch()
        except curses.error:
            # No key within the time.
            continue
        if key == curses.KEY_RESIZE:
            curses.update_lines_cols()
            continue
        handle_key(board, key, time.monotonic())


def end(_signal: int, _frame: FrameType | None) -> None:
    raise Quit


def main() -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("ward-board: this needs a terminal (terminal = true in its file)", file=sys.stderr)
        return 2
    locale.setlocale(locale.LC_ALL, "")
    # Somebody who means to copy from the screen must not end the board with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    if hasattr(curses, "set_escdelay"):
        curses.set_escdelay(25)
    try:
        curses.wrapper(run)
    except Quit:
        pass
    except curses.error as error:
        print(f"ward-board: this terminal can't be used: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
