"""Headings, below that of the physical exam, of what was found when the patient left or died."""

HEADINGS_AT_DISCHARGE = (
    *("DISCHARGE PHYSICAL EXAM:", "Discharge:", "On discharge:", "AT DISCHARGE", "Exam on discharge", "D/C exam:"),
    *("Physical exam upon discharge:", "PHYSICAL EXAMINATION AT TIME OF DISCHARGE:", "Discharge vitals: 98.6"),
    *("===== DISCHARGE =====", "- Discharge exam", "Day of discharge exam", "Vital signs at discharge", "Death exam:"),
)
