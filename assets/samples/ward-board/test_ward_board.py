"""Tests of the ward board's logic: `python3 -m unittest` in this folder."""

from __future__ import annotations

import curses
import unittest

from board import LOG_LENGTH, Board, sample_board
from cells import cut, cut_before, fit, width_of
from note_editor import MAX_LENGTH, NoteEditor
from screen import MIN_HEIGHT, MIN_WIDTH, draw, in_words, long_duration
from ward_board import CTRL_G, CTRL_T, CTRL_X, ESCAPE, Quit, handle_key

START = 5000.0


def text_of(board: Board, now: float = START, width: int = 100, height: int = 30) -> str:
    picture = draw(board, now, "12:34:56", 42, width, height)
    return "\n".join("".join(text for text, _ in line) for line in picture.lines)


def type_text(board: Board, text: str) -> None:
    for character in text:
        handle_key(board, character, START)


class Timers(unittest.TestCase):
    def test_uptime_counts_from_the_start(self) -> None:
        self.assertIn("Up 1:02:03", text_of(sample_board(START), START + 3723))

    def test_a_medication_becomes_due_and_starts_anew_when_given(self) -> None:
        board = sample_board(START)
        medication = board.chosen.next_medication()
        now = medication.due_at + 31
        self.assertEqual(in_words(medication.seconds_left(now)), "DUE 00:31 ago")
        handle_key(board, CTRL_G, now)
        self.assertEqual(medication.seconds_left(now), medication.interval_seconds)
        self.assertIn("Paracetamol 1 g given", board.log[-1].text)

    def test_overdue_patients_are_counted(self) -> None:
        board = sample_board(START)
        self.assertEqual(board.overdue(START), 1)
        self.assertEqual(board.overdue(START + 10 * 24 * 3600), len(board.rows()))

    def test_durations_are_written_for_people(self) -> None:
        self.assertEqual(long_duration(59), "59 s")
        self.assertEqual(long_duration(3600 + 60), "1 h 1 min")
        self.assertEqual(long_duration(2 * 86400 + 3 * 3600), "2 d 3 h")


class Notes(unittest.TestCase):
    def test_typed_text_is_a_draft_until_it_is_saved(self) -> None:
        board = sample_board(START)
        type_text(board, "drank 200 ml")
        self.assertEqual(board.chosen.note, "")
        self.assertIn("New note: drank 200 ml", text_of(board))
        self.assertIn("1 unsaved", text_of(board))
        handle_key(board, "\n", START)
        self.assertEqual(board.chosen.note, "drank 200 ml")
        self.assertEqual(board.chosen.editor.text, "")
        self.assertIn("all saved", text_of(board))

    def test_each_patient_has_an_own_draft(self) -> None:
        board = sample_board(START)
        type_text(board, "first")
        handle_key(board, curses.KEY_DOWN, START)
        type_text(board, "second")
        handle_key(board, curses.KEY_UP, START)
        self.assertEqual(board.chosen.editor.text, "first")
        self.assertEqual(board.drafts(), 2)

    def test_escape_discards_and_an_empty_draft_saves_nothing(self) -> None:
        board = sample_board(START)
        type_text(board, "wrong bed")
        handle_key(board, ESCAPE, START)
        handle_key(board, "\n", START)
        self.assertEqual(board.chosen.note, "")
        self.assertEqual(board.log, [])

    def test_editing_in_the_middle(self) -> None:
        editor = NoteEditor()
        editor.insert("abd")
        editor.move(-1)
        editor.insert("c")
        editor.to_start()
        editor.delete_at()
        editor.to_end()
        editor.delete_before()
        self.assertEqual((editor.text, editor.cursor), ("bc", 2))

    def test_a_stuck_key_and_control_characters_do_no_harm(self) -> None:
        editor = NoteEditor()
        editor.insert("x" * (MAX_LENGTH * 2))
        editor.insert("\x00\x1b")
        self.assertEqual(len(editor.text), MAX_LENGTH)

    def test_the_log_is_bounded(self) -> None:
        board = sample_board(START)
        for _ in range(LOG_LENGTH * 2):
            board.give_medication(START)
        self.assertEqual(len(board.log), LOG_LENGTH)


class Choosing(unittest.TestCase):
    def test_the_choice_stays_at_the_ends(self) -> None:
        board = sample_board(START)
        handle_key(board, curses.KEY_UP, START)
        self.assertEqual(board.chosen.bed, "7-01")
        for _ in range(50):
            handle_key(board, curses.KEY_DOWN, START)
        self.assertEqual(board.chosen.bed, "7-08")

    def test_order_by_due_time_keeps_the_choice(self) -> None:
        board = sample_board(START)
        handle_key(board, CTRL_T, START)
        self.assertEqual(board.rows()[0].bed, "7-03")
        self.assertEqual(board.chosen.bed, "7-01")

    def test_only_one_key_quits(self) -> None:
        board = sample_board(START)
        handle_key(board, curses.KEY_F10, START)
        with self.assertRaises(Quit):
            handle_key(board, CTRL_X, START)


class Screen(unittest.TestCase):
    def test_every_size_is_kept_to(self) -> None:
        board = sample_board(START)
        type_text(board, "a rather long note with wide 漢字 and e\u0301 in it " * 5)
        board.give_medication(START)
        for width in [*range(0, 130, 3), MIN_WIDTH, 400]:
            for height in range(0, 45, 2):
                picture = draw(board, START, "12:34:56", 42, width, height)
                self.assertLessEqual(len(picture.lines), height)
                for line in picture.lines:
                    self.assertLessEqual(sum(width_of(text) for text, _ in line), width)
                if picture.cursor is not None:
                    self.assertLess(picture.cursor[0], height)
                    self.assertLess(picture.cursor[1], width)

    def test_the_chosen_patient_and_the_note_are_in_sight_at_the_smallest_size(self) -> None:
        board = sample_board(START)
        for _ in range(7):
            board.choose_next(1)
        type_text(board, "ok")
        for height in range(MIN_HEIGHT + 1, 30):
            shown = text_of(board, width=40, height=height)
            self.assertIn("7-08", shown)
            self.assertIn("New note: ok", shown)
        self.assertIn("New note: ok", text_of(board, width=MIN_WIDTH, height=MIN_HEIGHT))

    def test_too_small_a_window_says_so(self) -> None:
        self.assertEqual(text_of(sample_board(START), width=20, height=3), "window too small")

    def test_the_status_line_has_what_a_restore_must_keep(self) -> None:
        shown = text_of(sample_board(START))
        self.assertIn("PID 42", shown)
        self.assertIn("Up 0:00:00", shown)

    def test_cells_of_wide_characters(self) -> None:
        self.assertEqual(cut("漢字", 3), "漢")
        self.assertEqual(cut_before("漢字", 3), "字")
        self.assertEqual(fit("漢", 4), "漢  ")
        self.assertEqual(width_of("e\u0301"), 1)


if __name__ == "__main__":
    unittest.main()
