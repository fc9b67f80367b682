"""What a note says at each level of severity and of respiratory failure, and the furniture around it."""

from clinical_peft.data.synthetic.draws import Bank, bank

# Severity, from well (0) to shock (4): hemodynamics as the history of present illness tells them.
HEMODYNAMICS: tuple[Bank, ...] = (
    bank(
        "Vitals [normal|unremarkable], [ambulating|walking unassisted], BP <116-142>/<66-84>",
        "[Well appearing|Comfortable] in the ED, HR <62-84>",
        "Afebrile and [well appearing|asymptomatic at rest], BP <118-144>/<64-82>",
        "[Admitted for observation|Observed overnight], vital signs normal, HR <60-82>",
        "Feels [well|at baseline] otherwise, tolerating diet, BP <116-140>/<66-84>",
    ),
    bank(
        "[Hemodynamically stable|Stable], HR <80-98>, BP <108-132>/<58-78>",
        "[Stable vitals|Vitals stable] in ED, [given 1L NS|one liter NS]",
        "Triage HR <82-100>, BP <110-130>/<60-76>, [stable|alert and conversant]",
        "Mildly [tachycardic|uncomfortable] but stable, BP <106-128>/<58-74>",
        "Admitted to the floor [stable|in fair condition], HR <80-99>",
    ),
    bank(
        "[Tachycardic|HR] to <102-118>, BP <94-108>/<50-64>, [fluid responsive|responded to fluids]",
        "Ill appearing, HR <102-120>, lactate <2.0-3.0>, [improved with 2L|given 2L NS]",
        "BP <92-106>/<48-62> improved with [boluses|2L NS], lactate <2.0-2.9>",
        "[Moderately ill|Ill appearing], tachycardic to <104-120>, step-down bed requested",
        "Orthostatic and tachycardic, HR <104-120>, [fluid responsive|two liters given]",
    ),
    bank(
        "[Hypotensive|BP fell] to <78-90>/<38-50> despite <3-5>L, lactate <3.2-5.4>, [MICU|ICU] admission",
        "Persistently hypotensive, SBP <76-90>, lactate <3.4-5.6>, [lethargic|toxic appearing]",
        "Toxic appearing, HR <116-134>, SBP <78-90>, [central line placed|ICU transfer]",
        "Lethargic and hypotensive, lactate <3.4-5.6>, urgent ICU transfer",
        "Critically ill, BP <76-90>/<38-50> after <3-5>L, [started on peripheral neo|low dose levophed]",
    ),
    bank(
        "In [refractory |profound |]shock on [levophed and vasopressin|two pressors], lactate <6.0-13.0>",
        "Shock, SBP <54-74> on maximal [levophed|norepinephrine], [mottled|cold and mottled], anuric",
        "Obtunded and mottled, on [three|two] pressors, lactate <6.5-14.0>, multiorgan failure",
        (
            "[Moribund|In extremis], SBP <52-72>, multiorgan failure, [levophed, vasopressin and "
            "epinephrine|pressors escalated]"
        ),
        "Multiorgan failure with refractory shock, lactate <6.5-14.0>, [family at bedside|goals of care raised]",
    ),
)

# Severity again, in the general impression that opens or closes the history.
IMPRESSION: tuple[Bank, ...] = (
    bank("low acuity", "mild course", "no distress", "quick recovery expected", "doing well"),
    bank("uncomplicated so far", "fair condition", "routine monitoring", "improving already", "mild distress"),
    bank("guarded", "moderate acuity", "close monitoring", "workup ongoing", "moderate distress"),
    bank("serious condition", "high acuity", "deteriorating", "severe illness", "worsening rapidly"),
    bank("grave prognosis", "critical condition", "dismal prognosis", "poor prognosis discussed", "extremely ill"),
)

# Breathing without a ventilator, from clear (0) to exhausted (3).
BREATHING: tuple[Bank, ...] = (
    bank(
        "Sat <97-100>% RA",
        "lungs clear, <97-100>% on room air",
        "breathing comfortably on room air",
        "no O2 requirement",
    ),
    bank("Sat <93-96>% on 2L", "on [1-2|2]L nasal cannula", "<93-96>% with 2L NC", "mild dyspnea, nasal cannula"),
    bank(
        "needing <4-6>L",
        "hypoxic to <86-90>%, face mask <40-50>%",
        "increased work of breathing on <4-6>L",
        "RR <24-30>, face mask",
    ),
    bank(
        "on NRB, RR <30-40>",
        "BiPAP for respiratory distress",
        "accessory muscle use, NRB",
        "severe hypoxia, DNI, on BiPAP",
    ),
)

# Breathing on a ventilator, from a short airway matter (0) to refractory ARDS (4).
VENTILATION: tuple[Bank, ...] = (
    bank(
        "intubated [briefly |]for airway protection, minimal settings",
        "intubated for airway protection, FiO2 30%, lungs clear",
        "intubated electively, minimal settings, FiO2 <30-35>%",
        "airway protection only, minimal settings, PEEP 5",
    ),
    bank(
        "intubated for mild hypoxia, FiO2 40%, PEEP 5",
        "intubated for fatigue, mild hypoxia, P/F <280-340>",
        "intubated with good gas exchange, FiO2 40%",
        "ventilated on pressure support, good gas exchange",
    ),
    bank(
        "intubated for hypercarbic respiratory failure, PCO2 <60-85>",
        "intubated for respiratory failure, FiO2 50%, PEEP 8",
        "intubated for moderate hypoxemia, P/F <190-250>",
        "hypercarbic respiratory failure, intubated, FiO2 50%",
    ),
    bank(
        "intubated for severe hypoxemia, FiO2 <60-80>%, PEEP <10-12>",
        "intubated, bilateral infiltrates, severe hypoxemia, P/F <110-160>",
        "failed extubation, reintubated, bilateral infiltrates",
        "intubated for severe hypoxemia, copious secretions",
    ),
    bank(
        "intubated, ARDS, FiO2 100%, PEEP <14-20>, paralyzed",
        "intubated, ARDS, refractory hypoxemia, P/F <55-95>, proned",
        "ARDS, stiff lungs, proned and paralyzed, FiO2 100%",
        "refractory hypoxemia, ARDS, PEEP <15-20>, inhaled nitric",
    ),
)

# How soon the ventilator is likely to come off, at the same levels.
WEANING: tuple[Bank, ...] = (
    bank("rapid wean expected", "extubation expected tomorrow", "rapid wean, strong cough"),
    bank("weaning well", "weaning well, few secretions", "passing SBT"),
    bank("slow wean", "slow wean, moderate secretions", "daily SBT trials"),
    bank("difficult wean", "difficult wean, copious secretions", "failing SBTs"),
    bank("prolonged wean expected", "unable to wean, trach discussed", "prolonged wean, trach planned"),
)

# General appearance in the physical examination, by severity.
APPEARANCE: tuple[Bank, ...] = (
    bank("NAD, pleasant", "well appearing, A&Ox3", "comfortable, conversant"),
    bank("mild discomfort, A&Ox3", "NAD, tired", "alert, slightly anxious"),
    bank("ill appearing, uncomfortable", "fatigued, diaphoretic", "moderate distress, A&Ox<2-3>"),
    bank("toxic, lethargic", "drowsy, clammy", "acutely ill, A&Ox1"),
    bank("obtunded, mottled", "unresponsive, cool extremities", "moribund, no response to voice"),
)

LUNGS: tuple[Bank, ...] = (
    bank("CTAB", "clear bilaterally, no wheeze", "good air movement, clear"),
    bank("scant crackles at bases", "decreased at bases", "few end expiratory wheezes"),
    bank("bibasilar crackles, [tachypneic|mild retractions]", "rhonchi throughout, tachypneic", "crackles half way up"),
    bank("diffuse crackles, accessory muscles", "coarse throughout, poor air entry", "diffuse rhonchi, labored"),
    bank(
        "vented, coarse diffuse rales", "intubated, poor compliance, diffuse crackles", "vented, decreased throughout"
    ),
)

HEART: Bank = bank(
    "RRR, no m/r/g",
    "regular, nl S1 S2",
    "irregularly irregular",
    "tachycardic, regular",
    "RRR, <1-3>/6 systolic murmur",
    "distant heart sounds, regular",
    "RRR, no rubs",
)
ABDOMEN: Bank = bank(
    "soft, NT/ND, +BS",
    "obese, soft, nontender",
    "soft, mildly tender, no guarding",
    "benign",
    "nondistended, BS present",
    "soft, well healed scar",
    "protuberant, soft",
)
EXTREMITIES: Bank = bank(
    "no c/c/e",
    "[1+|trace] edema",
    "warm, 2+ pulses",
    "no edema, DP palpable",
    "[trace|2+] bilateral pitting edema",
    "cool, 1+ pulses",
    "venous stasis changes",
)
NEUROLOGIC: Bank = bank(
    "CN II-XII intact",
    "nonfocal",
    "moves all extremities",
    "strength 5/5, sensation intact",
    "not cooperative with exam",
    "grossly intact",
    "PERRL, follows commands",
)

ALLERGIES: Bank = bank(
    "No Known Allergies / Adverse Drug Reactions",
    "Penicillins",
    "Sulfa (Sulfonamides)",
    "NKDA",
    "Codeine / Morphine",
    "Patient recorded as having No Known Allergies to Drugs",
    "Penicillins / Iodine",
    "Latex",
    "Lisinopril (cough)",
    "Vancomycin (red man)",
    "Shellfish",
    "Percocet",
    "Levofloxacin / Bactrim",
    "Aspirin (GI upset)",
    "Statins",
)
FAMILY: Bank = bank(
    "[Father|Mother|Brother|Sister] with [MI|CAD|stroke|CHF] at age <42-85>.",
    (
        "[Mother|Father] had [breast cancer|colon cancer|lung cancer|diabetes], [sister|brother] is "
        "[healthy|alive and well]."
    ),
    "[Non-contributory|Noncontributory|No family history of early CAD|Unknown, adopted].",
    "[Strong history of|Positive for] [DM and HTN|heart disease|stroke|alcoholism] on [maternal|paternal] side.",
    "No [sudden cardiac death|bleeding disorders|kidney disease|premature CAD] in first degree relatives.",
    "[Mother|Father] lived to <78-99>, [siblings healthy|one sibling with asthma|brother with gout].",
)
SOCIAL: Bank = bank(
    (
        "Lives [alone|with {spouse}|with daughter|with son|in assisted living], [retired|worked as a] "
        "[teacher|nurse|carpenter|driver|clerk|engineer]. {tobacco}, [no|rare|social] alcohol."
    ),
    (
        "[Retired|Former|Disabled] [machinist|cook|secretary|accountant|farmer|fisherman]. {tobacco}. Drinks "
        "[rarely|never|<1-5> per week]. [Independent in ADLs|Uses walker]."
    ),
    (
        "{tobacco}. Lives [in {hospital} area|with family|in nursing home|with {spouse} of <10-58> years]. "
        "Denies [IVDU|illicits|drug use]."
    ),
    (
        "[Married|Widowed|Divorced|Single], <0-5> children, [walks daily|mostly homebound|gardens|enjoys "
        "cooking]. {tobacco}. EtOH [denied|occasional|<1-3> glasses wine nightly]."
    ),
)
TOBACCO: Bank = bank(
    "Tobacco: [none|denies]",
    "Never smoked",
    "Lifetime nonsmoker",
    "No tobacco",
    "Tobacco: not documented",
    "Tobacco per above",
)

COURSE_STEADY: tuple[Bank, ...] = (
    bank(
        "Remained well [throughout|on the floor], ambulating [HD 1|the same day].",
        "Uncomplicated stay, [diet advanced|pain controlled].",
    ),
    bank(
        "Stable on the floor, [PT cleared for home|home meds resumed].",
        "Improved steadily with [therapy|supportive care].",
    ),
    bank("Required step-down care for <1-4> days, then floor.", "Slow improvement, [deconditioned|needed PT daily]."),
    bank(
        "MICU course with pressors weaned over <2-6> days.",
        "Prolonged ICU stay, [rehab screened|family meetings held].",
    ),
    bank(
        "Refractory shock with [CVVH|stress dose steroids|multiple pressors].",
        "Multiorgan failure, [CVVH started|goals of care meetings held].",
    ),
)
COURSE_VENTILATED: tuple[Bank, ...] = (
    bank("Extubated [quickly|next day] without difficulty.", "Extubated to nasal cannula, [strong cough|no stridor]."),
    bank("Weaned from the ventilator over <2-5> days.", "Passed SBT and extubated [HD <3-5>|uneventfully]."),
    bank(
        "Ventilated for respiratory failure, [bronchoscopy done|diuresed], extubated later.",
        "Weaned slowly with [diuresis|antibiotics].",
    ),
    bank(
        "Failed [several|two] SBTs, [VAP treated|secretions limiting].",
        "Prolonged wean, [tracheostomy discussed|repeated bronchoscopy].",
    ),
    bank(
        "ARDSnet ventilation, [proned|paralyzed], [trach and PEG|prolonged wean].",
        "Prolonged mechanical ventilation, [tracheostomy|esophageal balloon].",
    ),
)
COURSE_DEATH: Bank = bank(
    (
        "[Despite|After] maximal support [he|the patient] [deteriorated|declined], family chose comfort "
        "measures and [he|the patient] expired [peacefully|with family present]."
    ),
    "[PEA arrest|Asystole] on HD <2-20>, resuscitation unsuccessful, [pronounced dead|patient expired].",
    (
        "Made CMO after [family meeting|discussion with HCP]; "
        "morphine drip, [died|passed away] [that evening|next morning]."
    ),
)
CONDITION: tuple[Bank, ...] = (
    bank("Good, ambulatory", "Stable, tolerating POs", "Well, pain controlled"),
    bank("Stable", "Good, afebrile", "Improved, ambulating with walker"),
    bank("Fair, deconditioned", "Stable, out of bed with assist", "Improved, on <1-3>L O2"),
    bank("Fair, bedbound", "Guarded, lethargic but interactive", "Stable, max assist"),
    bank("Guarded", "Critical, transferred", "Poor, hospice arranged"),
)
INSTRUCTIONS: Bank = bank(
    (
        "You were admitted with {complaint}. [Take your medications as prescribed|Please weigh yourself "
        "daily|Finish the antibiotics]. [Call|Return] for [fever|chest pain|shortness of breath|bleeding]."
    ),
    (
        "[Return to the ED|Call your doctor] if you have [fever over 101|worsening pain|vomiting|dizziness]. "
        "[No driving on narcotics|Avoid heavy lifting|Low salt diet]."
    ),
    (
        "[Please follow up|See your PCP] within <1-4> weeks. We [changed|stopped|started] [your blood pressure "
        "pills|several medicines|your water pill]."
    ),
)
FOLLOW_UP: Bank = bank(
    "[PCP|Primary care] in <1-3> weeks",
    "Dr. {doctor} in <1-6> weeks, call {phone}",
    "{hospital} clinic on {date}",
    "Dr. {doctor} {date}",
    "[Cardiology|Surgery|GI|Pulmonary] clinic in <2-8> weeks, Dr. {doctor}",
)
