"""What the ward board knows: patients, their medication timers, their notes, what happened.

Pure logic: no clock is read here. Every moment is seconds of the monotonic clock and handed in, so
that tests can put any, and a wake after a long hibernation finds every timer where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from note_editor import NoteEditor

MINUTE = 60
HOUR = 60 * MINUTE
LOG_LENGTH = 50


@dataclass
class Medication:
    """A drug that is given again and again, and when it is due next."""

    name: str
    dose: str
    interval_seconds: int
    due_at: float

    def seconds_left(self, now: float) -> float:
        """Negative once it is overdue."""
        return self.due_at - now

    def give(self, now: float) -> None:
        """Counts the next interval from now, as a nurse who was late would."""
        self.due_at = now + self.interval_seconds


@dataclass
class Patient:
    """One bed's patient, with an own note and an own draft of the next one."""

    bed: str
    name: str
    age: int
    reason: str
    admitted_at: float
    medications: list[Medication]
    note: str = ""
    editor: NoteEditor = field(default_factory=NoteEditor)

    def next_medication(self) -> Medication:
        return min(self.medications, key=lambda medication: medication.due_at)


@dataclass
class Entry:
    """A line of the log: what happened, and when."""

    at: float
    text: str


class Board:
    """The ward: its patients, the one that is chosen, and the order that they are shown in."""

    def __init__(self, ward: str, patients: list[Patient], started_at: float) -> None:
        if not patients:
            raise ValueError("a ward board needs at least one patient")
        self.ward = ward
        self.started_at = started_at
        self.by_due_time = False
        self.log: list[Entry] = []
        self._patients = patients
        self._chosen = patients[0]

    @property
    def chosen(self) -> Patient:
        return self._chosen

    def rows(self) -> list[Patient]:
        """The patients in the order that is shown."""
        if self.by_due_time:
            return sorted(self._patients, key=lambda patient: patient.next_medication().due_at)
        return list(self._patients)

    def choose_next(self, step: int) -> None:
        """Moves the choice up or down; it stays at the ends."""
        rows = self.rows()
        index = rows.index(self._chosen) + step
        self._chosen = rows[max(0, min(len(rows) - 1, index))]

    def switch_order(self) -> None:
        self.by_due_time = not self.by_due_time

    def give_medication(self, now: float) -> None:
        medication = self._chosen.next_medication()
        medication.give(now)
        self._record(now, f"bed {self._chosen.bed}: {medication.name} {medication.dose} given")

    def save_note(self, now: float) -> bool:
        """Makes the draft the chosen patient's note; an empty draft changes nothing."""
        text = self._chosen.editor.text.strip()
        if not text:
            return False
        self._chosen.note = text
        self._chosen.editor.clear()
        self._record(now, f"bed {self._chosen.bed}: note saved")
        return True

    def drafts(self) -> int:
        """How many patients have a note that is typed and not saved."""
        return sum(1 for patient in self._patients if patient.editor.text)

    def overdue(self, now: float) -> int:
        """How many patients have a medication that is past its time."""
        return sum(
            1 for patient in self._patients if patient.next_medication().seconds_left(now) < 0
        )

    def uptime_seconds(self, now: float) -> float:
        return now - self.started_at

    def _record(self, now: float, text: str) -> None:
        self.log.append(Entry(now, text))
        del self.log[:-LOG_LENGTH]


def sample_board(now: float) -> Board:
    """Invented patients, so that nobody can take them for real ones; timers that move within a minute."""

    def patient(
        bed: str,
        name: str,
        age: int,
        reason: str,
        admitted_minutes_ago: int,
        medications: list[tuple[str, str, int, int]],
    ) -> Patient:
        return Patient(
            bed,
            name,
            age,
            reason,
            now - admitted_minutes_ago * MINUTE,
            [
                Medication(drug, dose, interval, now + due_in)
                for drug, dose, interval, due_in in medications
            ],
        )

    return Board(
        "Ward 7",
        [
            patient("7-01", "Placeholder, Petra", 71, "hip replacement", 4 * 1440 + 190,
                    [("Paracetamol", "1 g", 6 * HOUR, 95), ("Enoxaparin", "40 mg", 24 * HOUR, 7 * HOUR)]),
            patient("7-02", "Sample, Samuel", 58, "pneumonia", 2 * 1440 + 75,
                    [("Ampicillin", "2 g", 8 * HOUR, 41 * MINUTE)]),
            patient("7-03", "Example, Erika", 44, "appendectomy", 1440 + 12,
                    [("Metamizole", "1 g", 6 * HOUR, -3 * MINUTE - 20)]),
            patient("7-04", "Nobody, Norbert", 83, "atrial fibrillation", 612,
                    [("Metoprolol", "47.5 mg", 12 * HOUR, 12 * MINUTE + 5), ("Apixaban", "5 mg", 12 * HOUR, 3 * HOUR)]),
            patient("7-05", "Fictitious, Fiona", 36, "observation", 47,
                    [("Saline", "500 ml", 4 * HOUR, 25)]),
            patient("7-06", "Testperson, Tilda", 67, "heart failure", 6 * 1440 + 333,
                    [("Furosemide", "40 mg", 8 * HOUR, 2 * HOUR + 9 * MINUTE)]),
            patient("7-07", "Dummy, Dietrich", 29, "concussion", 154,
                    [("Ibuprofen", "400 mg", 8 * HOUR, 63 * MINUTE)]),
            patient("7-08", "Madeup, Magda", 90, "dehydration", 1440 + 401,
                    [("Ringer's solution", "1000 ml", 8 * HOUR, 5 * MINUTE + 30)]),
        ],
        started_at=now,
    )
