"""Admissions of the golden hospital whose notes state a death, or seem to, and what each protocol makes of them.

Every expected value was worked out from the rules, not taken from a run. Their ids are 13x and 14x.
"""

from golden_cases import END, Case, Note


def note_with(exam: str = "", complaint: str = "Fall") -> dict[str, str]:
    return {"CHIEF COMPLAINT": complaint} | ({"PHYSICAL EXAM": exam} if exam else {})


DEATHS = {
    130: Case(
        "a phrase in the exam is cut out",
        (Note(40, f"Chief Complaint:\nFall\n\nPhysical Exam:\nCold. Patient expired.{END}"),),
        note_with("Cold. Patient expired."),
        note_with("Cold. Patient expired."),
        (note_with("Cold. ."), note_with("Cold..")),
        died=1,
    ),
    131: Case(
        "a second phrase in the exam drops the original's note",
        (Note(41, f"Chief Complaint:\nFall\n\nPhysical Exam:\nPt has passed away. Told that patient died.{END}"),),
        note_with("Pt has passed away. Told that patient died."),
        note_with("Pt has passed away. Told that patient died."),
        (None, note_with(". Told that.")),
        died=1,
    ),
    132: Case(
        "a phrase in the medication is cut out",
        (Note(42, f"Chief Complaint:\nFall\n\nMedications on Admission:\nStopped as patient had died{END}"),),
        {"CHIEF COMPLAINT": "Fall", "MEDICATION ON ADMISSION": "Stopped as patient had died"},
        {"CHIEF COMPLAINT": "Fall", "MEDICATION ON ADMISSION": "Stopped as patient had died"},
        (
            {"CHIEF COMPLAINT": "Fall", "MEDICATION ON ADMISSION": "Stopped as "},
            {"CHIEF COMPLAINT": "Fall", "MEDICATION ON ADMISSION": "Stopped as"},
        ),
        died=1,
        split="test",
    ),
    133: Case(
        "the exam may leave out who it was",
        (Note(43, f"Chief Complaint:\nFall\n\nPhysical Exam:\nNo pulse, deceased{END}"),),
        note_with("No pulse, deceased"),
        note_with("No pulse, deceased"),
        (note_with("No pulse,"), note_with("No pulse,")),
        died=1,
        split="validation",
    ),
    134: Case(
        "the patient's death elsewhere drops the note",
        (Note(44, f"Chief Complaint:\nThe PATIENT  has died{END}"),),
        note_with(complaint="The PATIENT  has died"),
        note_with(complaint="The PATIENT  has died"),
        (None, None),
        died=1,
    ),
    135: Case(
        "a word that ends in pt counts for the original",
        (Note(45, f"Chief Complaint:\nFall after an attempt died down{END}"),),
        note_with(complaint="Fall after an attempt died down"),
        note_with(complaint="Fall after an attempt died down"),
        (None, note_with(complaint="Fall after an attempt died down")),
    ),
    136: Case(
        "a relative's death counts for the original",
        (Note(46, f"Chief Complaint:\nFall\n\nFamily History:\nAunt, a patient died here{END}"),),
        {"CHIEF COMPLAINT": "Fall", "FAMILY HISTORY": "Aunt, a patient died here"},
        {"CHIEF COMPLAINT": "Fall", "FAMILY HISTORY": "Aunt, a patient died here"},
        (None, {"CHIEF COMPLAINT": "Fall", "FAMILY HISTORY": "Aunt, a patient died here"}),
    ),
    137: Case(
        "the end of a word before expired counts for the original",
        (Note(47, f"Chief Complaint:\nLost the expired card{END}"),),
        note_with(complaint="Lost the expired card"),
        note_with(complaint="Lost the expired card"),
        (None, note_with(complaint="Lost the expired card")),
    ),
    138: Case(
        "she expired",
        (Note(48, f"Chief Complaint:\nThen she expired{END}"),),
        note_with(complaint="Then she expired"),
        note_with(complaint="Then she expired"),
        (None, None),
        died=1,
    ),
    139: Case(
        "pronounced expired",
        (Note(49, f"Chief Complaint:\nPronounced expired{END}"),),
        note_with(complaint="Pronounced expired"),
        note_with(complaint="Pronounced expired"),
        (None, None),
        died=1,
    ),
    140: Case(
        "time of death",
        (Note(50, f"Chief Complaint:\nTime of death noted{END}"),),
        note_with(complaint="Time of death noted"),
        note_with(complaint="Time of death noted"),
        (None, None),
        died=1,
    ),
    141: Case(
        "near misses: a prescription, a mother, a time of departure, a patient who is dying",
        (
            Note(
                51,
                "Chief Complaint:\nPrescription had expired\n\nFamily History:\nMother died, father deceased\n\n"
                f"Social History:\nPatient is dying to leave, time of departure open{END}",
            ),
        ),
        {
            "CHIEF COMPLAINT": "Prescription had expired",
            "FAMILY HISTORY": "Mother died, father deceased",
            "SOCIAL HISTORY": "Patient is dying to leave, time of departure open",
        },
        {
            "CHIEF COMPLAINT": "Prescription had expired",
            "FAMILY HISTORY": "Mother died, father deceased",
            "SOCIAL HISTORY": "Patient is dying to leave, time of departure open",
        },
    ),
}
