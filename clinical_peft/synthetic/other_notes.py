"""Radiology reports and bedside notes of nurses and respiratory therapists."""

from bisect import bisect

from clinical_peft.synthetic.discharge_notes import BREATHING_LEVELS, SEVERITY_LEVELS, VENTILATION_LEVELS
from clinical_peft.synthetic.draws import Draws, write
from clinical_peft.synthetic.patients import Admission
from clinical_peft.synthetic.words import Phrases

_RADIOLOGY, _BEDSIDE = Phrases("radiology"), Phrases("bedside")

_EXAMINATION = _RADIOLOGY.by_name("examination")  # by body region, as the next
_NORMAL = _RADIOLOGY.by_name("normal")
_INDICATION = _RADIOLOGY.bank("indication")
_TECHNIQUE = _RADIOLOGY.bank("technique")
_COMPARISON = _RADIOLOGY.bank("comparison")
_DEVICES = _RADIOLOGY.bank("devices")
_CLOSING = _RADIOLOGY.bank("closing")

_NURSING_STATE = _BEDSIDE.levels("nursing_state")
_NURSING_BREATHING = _BEDSIDE.bank("nursing_breathing")
_VENT_SETTINGS = _BEDSIDE.levels("vent_settings")
_NURSING_MORE = _BEDSIDE.bank("nursing_more")


def radiology_report(draws: Draws, admission: Admission) -> tuple[str, str]:
    """Return the name of a radiology examination and its report, written in the style of MIMIC-IV-Note."""
    region = admission.problem.region if draws.chance(0.8) else "chest"
    examination = write(draws, _EXAMINATION[region])
    chronic = draws.pick(admission.chronic).name if admission.chronic else "no significant disease"
    slots = {
        "age": "___" if draws.chance(0.5) else str(min(admission.age, 89)),
        "noun": ("man" if admission.sex == "M" else "woman"),
        "complaint": write(draws, admission.problem.complaint),
        "chronic": chronic,
    }
    findings = [item.write(draws) for item in draws.shuffled(_NORMAL[region])[: draws.integer(3, 7)]]
    impression = (
        write(draws, admission.problem.imaging) if region == admission.problem.region else "No acute abnormality"
    )
    findings.append(f"{impression}.")
    if admission.ventilated or draws.chance(0.15):
        findings.append(write(draws, _DEVICES))
    text = (
        f"EXAMINATION:  {examination}\n\nINDICATION:  {write(draws, _INDICATION, slots)}\n\n"
        f"TECHNIQUE:  {write(draws, _TECHNIQUE)}\n\nCOMPARISON:  {write(draws, _COMPARISON)}\n\n"
        f"FINDINGS: \n\n{' '.join(draws.shuffled(findings))}\n\nIMPRESSION: \n\n"
        f"{impression}. {write(draws, _CLOSING)}\n"
    )
    return examination, text


def bedside_note(draws: Draws, admission: Admission, category: str) -> str:
    """Return a note of a nurse or, for the category ``Respiratory ``, of a respiratory therapist."""
    state = write(draws, _NURSING_STATE[bisect(SEVERITY_LEVELS, admission.severity)])
    if admission.ventilated:
        breathing = write(draws, _VENT_SETTINGS[bisect(VENTILATION_LEVELS, admission.respiration)])
    else:
        breathing = _NURSING_BREATHING[bisect(BREATHING_LEVELS, admission.respiration)].write(draws)
    more = [item.write(draws) for item in draws.shuffled(_NURSING_MORE)[: draws.integer(4, 8)]]
    if category.startswith("Respiratory"):
        return "Respiratory Care: " + " ".join([breathing, *more])
    title = "NPN 7a-7p" if draws.chance(0.5) else "CCU/MICU nursing progress note"
    return f"{title}:\n{state}\nResp: {breathing}\n" + "\n".join(more)
