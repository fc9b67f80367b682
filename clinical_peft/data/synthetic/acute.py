"""Acute conditions beside the main problem: organ failures and complications, driven by severity."""

from dataclasses import dataclass

from clinical_peft.data.synthetic.conditions import CodeRule, code_rules
from clinical_peft.data.synthetic.draws import Bank, bank


@dataclass(frozen=True)
class AcuteCondition:
    """An acute condition with log-odds ``intercept + slope * severity``.

    ``noted`` names it in the history of present illness, ``course`` tells it in the hospital course.
    """

    name: str
    intercept: float
    slope: float
    noted: Bank
    course: Bank
    rules: tuple[CodeRule, ...]
    procedures: tuple[CodeRule, ...] = ()


ACUTE: tuple[AcuteCondition, ...] = (
    AcuteCondition(
        "acute kidney injury",
        -1.5,
        1.2,
        bank("AKI", "acute renal failure", "Cr up to <2.2-5.9>", "acute kidney injury", "oliguria with rising Cr"),
        bank(
            (
                "[Renal: |]AKI felt to be [prerenal|ATN], Cr peaked at <2.5-6.5> and [improved with "
                "fluids|slowly recovered]."
            ),
            "Acute renal failure with Cr <2.4-6.2>; [renal was consulted|nephrotoxins were held], FeNa <1-3>%.",
        ),
        code_rules(("5849 5849 5845", 0.9)),
        code_rules(("3995", 0.12)),
    ),
    AcuteCondition(
        "metabolic acidosis",
        -2.5,
        1.1,
        bank("metabolic acidosis", "acidosis, pH 7.<15-28>", "anion gap acidosis", "bicarb of <9-15>"),
        bank("Acidosis [cleared with resuscitation|was treated with bicarbonate], lactate trended [down|to <1-3>]."),
        code_rules(("2762", 0.85)),
    ),
    AcuteCondition(
        "hyponatremia",
        -2.3,
        0.3,
        bank("hyponatremia", "Na <116-128>", "low sodium of <117-128>"),
        bank("Hyponatremia [responded to free water restriction|improved with saline], Na <130-137> at discharge."),
        code_rules(("2761", 0.85)),
    ),
    AcuteCondition(
        "blood loss anemia",
        -2.1,
        0.4,
        bank("acute anemia", "Hct drop to <18-25>", "anemia requiring transfusion", "Hct <17-25>"),
        bank(
            "[Heme: |]Received <1-6> units pRBC [with appropriate bump|for Hct <19-26>]; "
            "[no further bleeding|Hct stable]."
        ),
        code_rules(("2851", 0.88)),
        code_rules(("9904", 0.8)),
    ),
    AcuteCondition(
        "thrombocytopenia",
        -2.7,
        0.5,
        bank("thrombocytopenia", "platelets of <14-75>", "low platelets"),
        bank("Thrombocytopenia to <15-80>K, [HIT negative|smear unremarkable], [recovering|followed daily]."),
        code_rules(("2875", 0.85)),
        code_rules(("9905", 0.4)),
    ),
    AcuteCondition(
        "coagulopathy",
        -3.0,
        0.8,
        bank("coagulopathy", "INR <2.6-7.9>", "elevated INR with oozing"),
        bank("Coagulopathy reversed with [FFP|vitamin K|FFP and vitamin K], INR <1.1-1.8>."),
        code_rules(("2869 2866", 0.85)),
        code_rules(("9907", 0.55)),
    ),
    AcuteCondition(
        "delirium",
        -2.4,
        0.5,
        bank("delirium", "acute confusion", "agitated delirium", "new confusion"),
        bank("Delirium [managed with haldol prn|cleared as infection resolved]; [sitter required|reoriented often]."),
        code_rules(("2930", 0.82)),
    ),
    AcuteCondition(
        "urinary infection",
        -2.0,
        0.1,
        bank("a UTI", "positive UA", "pyuria and dysuria", "urinary tract infection"),
        bank("UTI with [E. coli|Klebsiella|Enterococcus], treated with [ciprofloxacin|ceftriaxone] for <3-10> days."),
        code_rules(("5990", 0.9)),
    ),
    AcuteCondition(
        "hyperkalemia",
        -2.9,
        0.5,
        bank("hyperkalemia", "K <5.9-7.4>", "elevated potassium"),
        bank("Hyperkalemia treated with [insulin/dextrose|kayexalate|calcium and insulin], K <3.8-4.9> after."),
        code_rules(("2767", 0.8)),
    ),
    AcuteCondition(
        "pleural effusion",
        -2.5,
        0.5,
        bank("[bilateral |left |right ]pleural effusion", "an effusion on CXR", "pleural effusions"),
        bank("Pleural effusion [tapped for <600-1900> cc|drained by pigtail|followed on serial films]."),
        code_rules(("5119", 0.85)),
        code_rules(("3491", 0.6)),
    ),
    AcuteCondition(
        "pressure ulcer",
        -3.2,
        0.7,
        bank("a sacral decubitus", "pressure ulcer of the sacrum", "stage [II|III] decubitus"),
        bank("Wound care followed a sacral decubitus, [improving|dressings changed daily]."),
        code_rules(("70703", 0.8)),
    ),
    AcuteCondition(
        "malnutrition",
        -3.0,
        0.6,
        bank("malnutrition", "cachexia with poor intake", "poor nutrition, albumin <1.6-2.6>"),
        bank("Nutrition consulted; [tube feeds|TPN|supplements] started, albumin <1.9-2.9>."),
        code_rules(("2639", 0.8)),
        code_rules(("9915", 0.45)),
    ),
    AcuteCondition(
        "C. difficile",
        -3.5,
        0.5,
        bank("C. diff diarrhea", "C difficile colitis", "diarrhea, C diff positive"),
        bank("C. difficile toxin positive, [flagyl|oral vancomycin] for <10-14> days."),
        code_rules(("00845", 0.88)),
    ),
)
