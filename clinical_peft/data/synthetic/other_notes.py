"""Radiology reports and bedside notes of nurses and respiratory therapists."""

from bisect import bisect

from clinical_peft.data.synthetic.discharge_notes import BREATHING_LEVELS, SEVERITY_LEVELS, VENTILATION_LEVELS
from clinical_peft.data.synthetic.draws import Bank, Draws, bank, write
from clinical_peft.data.synthetic.patients import Admission

_EXAMINATION: dict[str, Bank] = {
    "chest": bank("CHEST (PORTABLE AP)", "CHEST (PA & LAT)", "CT CHEST W/CONTRAST", "CHEST RADIOGRAPH"),
    "abdomen": bank("CT ABD & PELVIS WITH CONTRAST", "ABDOMEN (SUPINE & ERECT)", "US ABD LIMIT, SINGLE ORGAN", "KUB"),
    "head": bank("CT HEAD W/O CONTRAST", "MR HEAD W & W/O CONTRAST", "CTA HEAD W&W/O C & RECONS", "PORTABLE HEAD CT"),
    "bone": bank("HIP UNILAT MIN 2 VIEWS", "PELVIS (AP ONLY)", "FEMUR (AP & LAT)", "CT PELVIS ORTHO W/O C"),
}
_INDICATION = bank(
    "{age} year old {noun} with {complaint}. [Eval for acute process|Please evaluate|Interval change].",
    "{complaint}, {noun}, <1-12> hours. Evaluate for [acute process|complication|progression].",
    "History of {chronic}, now {complaint}. [Question acute abnormality|Evaluate].",
)
_TECHNIQUE = bank(
    "[Single portable view was|Frontal and lateral views were|Two views were] obtained.",
    "Multidetector images from <3-5> mm collimation, [with|without] contrast, DLP <220-1400>.",
    "[Standard|Limited] technique; study [slightly rotated|limited by habitus|of adequate quality].",
)
_COMPARISON = bank(
    "None.", "Prior from <1-20> [days|weeks|months] ago.", "Same day study at outside hospital.", "___ <1-9>/<10-28>."
)
_NORMAL: dict[str, Bank] = {
    "chest": bank(
        "Heart size is [normal|mildly enlarged|top normal].",
        "No pneumothorax.",
        "Mediastinal contours [unremarkable|stable].",
        "[Mild|Moderate] degenerative changes of the thoracic spine.",
        "Aortic calcification is noted.",
        "Lung volumes are [low|preserved|reduced].",
        "Healed <4-9>th rib fracture.",
        "Hilar contours [normal|prominent].",
    ),
    "abdomen": bank(
        "The spleen measures <9-15> cm.",
        "Kidneys enhance symmetrically, <4-31> mm cyst.",
        "No free fluid or air.",
        "Adrenals [unremarkable|nodular].",
        "Scattered [diverticula|calcifications] without inflammation.",
        "Liver is [homogeneous|fatty|slightly coarse].",
        "Aorta is [normal in caliber|calcified].",
        "Bladder decompressed.",
    ),
    "head": bank(
        "Ventricles [and sulci are prominent|are normal in size].",
        "Paranasal sinuses are [clear|opacified].",
        "[Periventricular|Scattered] white matter hypodensity.",
        "No fracture is seen.",
        "Mastoid air cells [clear|opacified].",
        "Basal cisterns are patent.",
        "Vascular calcification of the carotid siphons.",
        "Orbits are unremarkable.",
    ),
    "bone": bank(
        "Bones are [diffusely demineralized|osteopenic].",
        "Sacroiliac joints are symmetric.",
        "Vascular calcifications noted.",
        "[Moderate|Severe] degenerative change of the knee.",
        "No dislocation.",
        "Soft tissue swelling is present.",
        "Lower lumbar spondylosis.",
        "Contralateral hip [unremarkable|status post arthroplasty].",
    ),
}
_DEVICES = bank(
    "ETT terminates <3-6>.<0-9> cm above the carina.",
    "Right IJ line tip in the [SVC|right atrium].",
    "Enteric tube courses below the diaphragm.",
    "Left PICC tip at the cavoatrial junction.",
)
_CLOSING = bank(
    "Findings discussed with the team by telephone at <1-11>:<10-59>.",
    "Recommend follow up in <2-12> weeks.",
    "Clinical correlation recommended.",
    "No significant interval change otherwise.",
    "Attending reviewed the images.",
)

_NURSING_STATE: tuple[Bank, ...] = (
    bank("Pt comfortable, HR 60s-80s SR, BP <114-140>s.", "VSS, A&Ox3, OOB to chair.", "Pleasant, no pain, vs stable."),
    bank(
        "HR 80s-90s, BP <104-128>, afebrile.",
        "Alert, vss, Tmax <98-100>.",
        "Stable shift, BP <106-130>, c/o mild pain.",
    ),
    bank(
        "HR <100-118>, BP <92-108>, fluid bolus x<1-3>.",
        "ST <102-118>, uop <20-45> cc/hr.",
        "Tachy, restless, lactate 2.<1-9>.",
    ),
    bank(
        "Levophed at 0.<05-15> mcg, MAP <58-66>.",
        "Hypotensive, pressors on, uop <8-24> cc/hr.",
        "Febrile, BP labile on neo.",
    ),
    bank(
        "On <2-3> pressors, MAP <46-60>, mottled.",
        "Anuric, vasopressin and levo, CVVH.",
        "Critically ill, cold extremities.",
    ),
)
_NURSING_BREATHING = bank(
    "Lungs clear, sat <96-100>% RA.",
    "NC <1-3>L, sats <93-97>%.",
    "Face tent <40-60>%, sats <90-95>%.",
    "NRB, RR <28-36>, labored.",
)
_VENT_SETTINGS: tuple[Bank, ...] = (
    bank("PSV <5-8>/5 40%, strong cough.", "AC 12x500 35% PEEP 5, RSBI <30-55>."),
    bank("PSV <8-12>/5 40%, small secretions.", "SIMV 12x500 40% PEEP 5."),
    bank("AC <14-18>x<450-500> 50% PEEP 8.", "PSV <12-16>/8 50%, thick tan secretions."),
    bank("AC <18-24>x<400-450> <60-70>% PEEP <10-12>.", "Desats with turns, FiO2 <60-80>%, RSBI >105."),
    bank("AC <26-32>x<320-380> <80-100>% PEEP <14-18>.", "Paralyzed, proned, plateau <30-36>."),
)
_NURSING_MORE = bank(
    "Family in to visit, updated by [MD|RN|team at bedside].",
    "Skin [intact|with reddened coccyx|dry, heels elevated], turned q<2-4>h.",
    "Foley draining [clear yellow|amber|cloudy] urine, <25-160> cc/hr.",
    "Abd [soft|distended|firm], [+BS|no stool this shift|large brown stool x<1-3>].",
    "Blood sugars <96-240>, [sliding scale|insulin gtt at <1-9> u/hr].",
    "Plan: [continue current care|c/o to floor|wean as able|recheck lytes at <14-23>00|CT in am].",
    "Suctioned q<2-4>h for [thin white|thick yellow|scant|blood tinged] sputum.",
    "ABG 7.<22-47>/<32-62>/<64-190>/<16-31>, [no changes made|team aware|settings adjusted].",
    "PIV x<1-3>, [A-line sharp|A-line dampened|PICC patent], dressings changed.",
    "K <3-5>.<0-9> and Mg 1.<4-9>, repleted [po|iv] at <10-22>:<10-59>.",
    "Pain <0-9>/10, [morphine|fentanyl|percocet|tylenol] given with [good|fair|little] effect.",
    "Hct <22-39>.<0-9>, [no signs of bleeding|1 unit given|next due at <10-23>00].",
    "[Trickle feeds|TF|Clear liquids] at <10-70> cc/hr, residuals <0-120>.",
    "Tmax <97-102>.<0-9>, [cultures sent|abx continued|cooling blanket off].",
    "Social work [paged|met with family at <10-18>:<10-59>|following].",
    "I/O +<100-3900> cc for shift, weight <48-128> kg.",
    "[Restraints off|Mitts on|Sitter at bedside|Bed alarm on], [slept <2-7> h|restless overnight].",
)


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
