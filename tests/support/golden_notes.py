"""Admissions of the golden hospital whose quirk is in the text of their notes, and what each protocol makes of them.

Every expected value was worked out from the rules, not taken from a run. Their ids are 10x to 12x.
"""

from golden_cases import END, Case, Note

FULL = """Admission Date: [**2150-1-5**]

Chief Complaint:
Hip pain

History of Present Illness:
Fell at home.
No loss of consciousness.

Past Medical History:
Gout

Medications on Admission:
Allopurinol

Allergies:
None known

Physical Exam:
Tender hip

Family History:
Father had gout

Social History:
Lives alone"""
FULL_SECTIONS = {
    "CHIEF COMPLAINT": "Hip pain",
    "PRESENT ILLNESS": "Fell at home. No loss of consciousness.",
    "MEDICAL HISTORY": "Gout",
    "MEDICATION ON ADMISSION": "Allopurinol",
    "ALLERGIES": "None known",
    "PHYSICAL EXAM": "Tender hip",
    "FAMILY HISTORY": "Father had gout",
    "SOCIAL HISTORY": "Lives alone",
}
AWKWARD = 'Pain, "sharp"\r\nat night\u2028worse, of [**First Name 3**]'
AWKWARD_CUT = 'Pain, "sharp"\r at night\u2028worse, of [**First Name 3**]'
SHARED = f"Chief Complaint:\nCopied{END}"
SAME_DAY = f"Chief Complaint:\nCopied on one day{END}"

TEXTS = {
    101: Case(
        "all eight sections; a second category's note of the admission is not looked at",
        (Note(1, FULL + END), Note(2, f"Chief Complaint:\nNursing{END}", category="Nursing")),
        FULL_SECTIONS,
        FULL_SECTIONS,
    ),
    102: Case(
        "the last section has no successor: lost by the original; no admission type is no newborn",
        (Note(3, "Chief Complaint:\nCough\n\nSocial History:\nLives with a son"),),
        {"CHIEF COMPLAINT": "Cough"},
        {"CHIEF COMPLAINT": "Cough", "SOCIAL HISTORY": "Lives with a son"},
        kind="",
        split="validation",
    ),
    103: Case(
        "sections in another order, most of them missing; a second admission of the patient of 101",
        (Note(4, f"Allergies:\nLatex\n\nChief Complaint:\nRash{END}"),),
        {"CHIEF COMPLAINT": "Rash", "ALLERGIES": "Latex"},
        {"CHIEF COMPLAINT": "Rash", "ALLERGIES": "Latex"},
        patient=1101,
    ),
    104: Case(
        "a header with a digit does not end the original's section",
        (
            Note(
                5,
                "Chief Complaint:\nChest pain\n\nPresent Illness:\nFor days\n\nPart 2 of history:\nWorse\n\n"
                f"Physical Exam:\nPale{END}",
            ),
        ),
        {
            "CHIEF COMPLAINT": "Chest pain",
            "PRESENT ILLNESS": "For days  Part 2 of history: Worse",
            "PHYSICAL EXAM": "Pale",
        },
        {"CHIEF COMPLAINT": "Chest pain", "PRESENT ILLNESS": "For days", "PHYSICAL EXAM": "Pale"},
        split="test",
    ),
    105: Case(
        "the exam at discharge stands first and is taken by the original; a paragraph with a colon ends its section",
        (
            Note(
                6,
                "Chief Complaint:\nDyspnea\n\nPresent Illness:\nFor a day.\n\nIn the ED, vitals were: fair\n\n"
                f"Discharge Physical Exam:\nWalks\n\nPhysical Exam:\nWheezes{END}",
            ),
        ),
        {"CHIEF COMPLAINT": "Dyspnea", "PRESENT ILLNESS": "For a day.", "PHYSICAL EXAM": "Walks"},
        {
            "CHIEF COMPLAINT": "Dyspnea",
            "PRESENT ILLNESS": "For a day.  In the ED, vitals were: fair",
            "PHYSICAL EXAM": "Wheezes",
        },
    ),
    106: Case(
        "an empty mark: the original means to empty the section and does not",
        (Note(7, f"Chief Complaint:\nSyncope\n\nFamily History:\n[]{END}"),),
        {"CHIEF COMPLAINT": "Syncope", "FAMILY HISTORY": "[]"},
        {"CHIEF COMPLAINT": "Syncope"},
    ),
    107: Case(
        "a header inside a line",
        (Note(8, f"Chief Complaint:\nNausea\n\nPresent Illness:\nSee past medical history: long{END}"),),
        {
            "CHIEF COMPLAINT": "Nausea",
            "PRESENT ILLNESS": "See past medical history: long",
            "MEDICAL HISTORY": "long",
        },
        {"CHIEF COMPLAINT": "Nausea", "PRESENT ILLNESS": "See past medical history: long"},
        split="test",
    ),
    108: Case(
        "no complaint, illness or history",
        (Note(9, f"Allergies:\nPollen\n\nSocial History:\nSmokes{END}"),),
        None,
        None,
    ),
    109: Case(
        "two reports of one day, written in the file in the other order: ROW_ID decides, the first text wins",
        (Note(11, f"Chief Complaint:\nSecond{END}"), Note(10, f"Chief Complaint:\nFirst{END}")),
        {"CHIEF COMPLAINT": "First"},
        {"CHIEF COMPLAINT": "First"},
    ),
    110: Case(
        "several reports: the date comes before ROW_ID; a report without a date comes last",
        (
            Note(12, f"Chief Complaint:\nUndated{END}", date=""),
            Note(13, f"Chief Complaint:\nLater{END}", date="2150-01-12"),
            Note(14, f"Chief Complaint:\nEarlier{END}", date="2150-01-11"),
        ),
        {"CHIEF COMPLAINT": "Earlier"},
        {"CHIEF COMPLAINT": "Earlier"},
    ),
    111: Case(
        "allergies found during the stay, in a later addendum, leak into the original's admission note",
        (
            Note(15, f"Chief Complaint:\nHives{END}"),
            Note(16, "Allergies:\nPenicillin\n\nSigned:\nMD", date="2150-01-13", description="Addendum"),
        ),
        {"CHIEF COMPLAINT": "Hives", "ALLERGIES": "Penicillin"},
        {"CHIEF COMPLAINT": "Hives"},
    ),
    112: Case(
        "an addendum of the report's day with a smaller ROW_ID comes first",
        (
            Note(18, f"Chief Complaint:\nOf the report{END}"),
            Note(17, "Chief Complaint:\nOf the addendum\n\nSigned:\nMD", description="Addendum"),
        ),
        {"CHIEF COMPLAINT": "Of the addendum"},
        {"CHIEF COMPLAINT": "Of the report"},
    ),
    113: Case(
        "an addendum alone is no admission",
        (Note(19, f"Chief Complaint:\nAlone{END}", description="Addendum"),),
        None,
        None,
    ),
    114: Case(
        "an addendum completes the report's last section for the original, its own header ends it for both",
        (
            Note(20, "Chief Complaint:\nFever\n\nFamily History:\nHealthy"),
            Note(21, "Addendum:\nNothing new", date="2150-01-11", description="Addendum"),
        ),
        {"CHIEF COMPLAINT": "Fever", "FAMILY HISTORY": "Healthy"},
        {"CHIEF COMPLAINT": "Fever", "FAMILY HISTORY": "Healthy"},
    ),
    115: Case("one text of two patients: the later row stays, this is the earlier", (Note(23, SHARED),), None, None),
    116: Case(
        "one text of two patients: the later row stays, this is the later, although its ROW_ID is smaller",
        (Note(22, SHARED, date="2150-01-11"),),
        {"CHIEF COMPLAINT": "Copied"},
        {"CHIEF COMPLAINT": "Copied"},
    ),
    117: Case(
        "one text of two patients on one day: the larger ROW_ID stays",
        (Note(25, SAME_DAY),),
        {"CHIEF COMPLAINT": "Copied on one day"},
        {"CHIEF COMPLAINT": "Copied on one day"},
    ),
    118: Case("one text of two patients on one day: the smaller ROW_ID goes", (Note(24, SAME_DAY),), None, None),
    119: Case(
        "a newborn; its codes are in the original's label space all the same",
        (Note(26, f"Chief Complaint:\nBirth{END}"),),
        None,
        None,
        kind="NEWBORN",
        diagnoses=("V3001",),
        procedures=("640",),
    ),
    120: Case("a report without text", (Note(27, ""),), None, None),
    121: Case(
        "a report that pandas reads as missing, so that the original is left with an addendum alone",
        (Note(28, "nan"), Note(29, f"Chief Complaint:\nUnread{END}", date="2150-01-11", description="Addendum")),
        None,
        None,
    ),
    122: Case(
        "carriage return, line separator, quotes, commas, a removed name",
        (Note(30, f"Chief Complaint:\n{AWKWARD}{END}"),),
        {"CHIEF COMPLAINT": AWKWARD_CUT},
        {"CHIEF COMPLAINT": AWKWARD_CUT.replace("[**First Name 3**]", "___")},
    ),
    123: Case(
        "a backslash and an n in the text is a line break to the original",
        (Note(31, f"Chief Complaint:\nBruised\\nose{END}"),),
        {"CHIEF COMPLAINT": "Bruised ose"},
        {"CHIEF COMPLAINT": "Bruised\\nose"},
    ),
    124: Case(
        "full stop, bar, parenthesis and digit hide the next header, a blank line is needed before it",
        (
            Note(
                32,
                "Chief Complaint:\nItch\nService:\nMedicine\n\nDr. Who:\nx\n\nLabs (1/2):\ny\n\nPlan:\nz",
            ),
        ),
        {"CHIEF COMPLAINT": "Itch Service: Medicine  Dr. Who: x  Labs (1/2): y"},
        {"CHIEF COMPLAINT": "Itch"},
    ),
    125: Case(
        "an exam under two headers of its own, and below it the findings at discharge",
        (
            Note(
                33,
                "Chief Complaint:\nLimp\n\nPhysical Exam:\nAdmission Physical Exam:\nTender\nOn discharge:\n"
                f"Walks{END}",
            ),
        ),
        {"CHIEF COMPLAINT": "Limp", "PHYSICAL EXAM": "Admission Physical Exam: Tender On discharge: Walks"},
        {"CHIEF COMPLAINT": "Limp", "PHYSICAL EXAM": "Tender"},
    ),
    126: Case(
        "a summary marked as an error, which CORe ignores, before the right one",
        (
            Note(34, f"Chief Complaint:\nOf another patient{END}", error="1"),
            Note(35, f"Chief Complaint:\nOf this patient{END}", date="2150-01-11"),
        ),
        {"CHIEF COMPLAINT": "Of another patient"},
        {"CHIEF COMPLAINT": "Of this patient"},
    ),
    127: Case(
        "the only summary is marked as an error",
        (Note(36, f"Chief Complaint:\nWrong chart{END}", error="1"),),
        {"CHIEF COMPLAINT": "Wrong chart"},
        None,
    ),
}
