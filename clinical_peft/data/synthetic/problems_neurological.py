"""Main problems of the brain: strokes, infections, withdrawal, poisoning, arrest."""

from clinical_peft.data.synthetic.problems import Problem, problem

NEUROLOGICAL: tuple[Problem, ...] = (
    problem(
        "intracerebral hemorrhage",
        4,
        (0.7, 0.0, 0.7),
        service="NEUROLOGY",
        region="head",
        complaint="headache and weakness; unresponsive; slurred speech",
        opening=(
            "found down with [left|right] sided weakness, {duration} since last well; "
            "with {duration} of [sudden headache and vomiting|hemiparesis], CT with [basal "
            "ganglia|thalamic|lobar] bleed"
        ),
        symptom="SBP <190-240> on arrival; [GCS <5-14>|gaze deviation]; [on aspirin|INR supratherapeutic]",
        exam="[left|right] hemiplegia, gaze preference; [pupils sluggish|facial droop], extensor plantar",
        imaging=(
            "[Left|Right] [basal ganglia|thalamic|frontal] parenchymal hemorrhage with [mild|<3-12> mm] shift; "
            "Intraparenchymal hemorrhage with intraventricular extension"
        ),
        operation="External ventricular drain; None",
        course=(
            "ICH: [nicardipine for SBP goal <140-160>|mannitol given], repeat CT [stable|with expansion]; "
            "Neurosurgery [placed EVD|deferred surgery], keppra given"
        ),
        diagnosis="Intracerebral hemorrhage",
        drugs="Levetiracetam 500 mg bid; Labetalol 200 mg bid",
        codes=(("431", 0.95), ("3485 3484", 0.35), ("34290 34281", 0.4)),
        procedures=(("0221", 0.3), ("8703", 0.4)),
    ),
    problem(
        "ischemic stroke",
        5,
        (0.2, -0.4, -0.2),
        service="NEUROLOGY",
        region="head",
        complaint="aphasia; facial droop; right sided weakness; left arm weakness",
        opening=(
            "presents with {duration} of [aphasia|facial droop] and arm drift; "
            "with acute [left|right] sided weakness noticed {duration} ago, code stroke called"
        ),
        symptom="NIHSS <3-22>; [outside tPA window|received tPA]; MRI with [MCA|PCA] infarct",
        exam="[expressive aphasia|dysarthria], pronator drift; [facial droop|neglect], <2-4>/5 strength arm",
        imaging=(
            "Restricted diffusion in the [left|right] MCA territory; Evolving [subacute|acute] infarct, no hemorrhage"
        ),
        course=(
            "Stroke: MRI confirmed infarct, [TEE without thrombus|carotids patent], [aspirin|plavix] begun; "
            "[Heparin|Coumadin] started for cardioembolic stroke, PT/OT [recommended rehab|cleared]"
        ),
        diagnosis="Ischemic stroke; [Left|Right] MCA infarct",
        drugs="Aspirin 325 mg daily; Atorvastatin 80 mg daily",
        codes=(("43411 43491", 0.95), ("34290 34281", 0.35)),
        procedures=(("9910", 0.3), ("8872", 0.3)),
    ),
    problem(
        "overdose",
        4,
        (-0.4, 0.0, 1.0),
        complaint="overdose; found unresponsive; ingestion",
        opening=(
            "[found|brought in] after ingesting [ativan|tylenol|unknown pills], {duration} after last contact; "
            "with [intentional|suicidal] ingestion {duration} ago"
        ),
        symptom=(
            "[empty pill bottles nearby|note left]; tox screen positive for [benzos|opiates]; given [narcan|charcoal]"
        ),
        exam="somnolent, pinpoint pupils; arousable to sternal rub, [no focal deficit|slurred speech]",
        imaging="Endotracheal tube in standard position, clear lungs; No acute process",
        course=(
            "Overdose: [NAC protocol|supportive care], psychiatry [recommended inpatient admission|followed], "
            "1:1 sitter; Toxicology followed, [level fell|mental status cleared]"
        ),
        diagnosis="[Intentional|Benzodiazepine|Acetaminophen] overdose",
        drugs="Thiamine 100 mg daily; Multivitamin daily",
        codes=(("9694 9695", 0.6), ("E9503 E9500", 0.85)),
        procedures=(("9633", 0.4),),
    ),
    problem(
        "alcohol withdrawal",
        4,
        (-0.6, -0.6, -0.3),
        complaint="tremor; seizure; alcohol withdrawal",
        opening=(
            "presents with {duration} of [tremor and hallucinations|shakes] after last drink; "
            "with [withdrawal seizure|tremulousness], last drink {duration} ago"
        ),
        symptom=(
            "drinks [a fifth of vodka|<6-24> beers] daily; CIWA <12-34>; [EtOH level <120-390>|prior ICU stays for DTs]"
        ),
        exam="tremulous, diaphoretic, [tongue fasciculations|tongue laceration]; agitated, visual hallucinations",
        imaging="No acute intracranial process; No acute cardiopulmonary process",
        course=(
            "Withdrawal: [valium per CIWA|ativan drip], banana bag, social work; "
            "Required <60-400> mg diazepam, [no further seizures|CIWA weaned]"
        ),
        diagnosis="Alcohol withdrawal; Withdrawal seizure",
        drugs="Folic acid 1 mg daily; Thiamine 100 mg daily",
        codes=(("29181 2910", 0.93), ("30391 30301", 0.85)),
        procedures=(("9462", 0.7),),
    ),
    problem(
        "cardiac arrest",
        3,
        (1.3, 0.9, 2.0),
        service="CARDIOLOGY",
        complaint="cardiac arrest; VF arrest; found pulseless",
        opening=(
            "[collapsed|found pulseless] at home, [VF|PEA|asystolic] arrest with ROSC after {duration}; "
            "s/p [witnessed|unwitnessed] arrest {duration} ago, bystander CPR"
        ),
        symptom="[cooled|Arctic Sun started]; <2-6> rounds epinephrine; downtime <5-40> min",
        exam="unresponsive, [pupils fixed|myoclonus]; no withdrawal to pain, intact corneals",
        imaging="Diffuse edema, lines and tubes in standard position; Loss of grey-white differentiation",
        operation="Cardiac catheterization; None",
        course=(
            "Arrest: therapeutic hypothermia for 24h, EEG [with burst suppression|diffuse slowing]; "
            "Post-arrest care, [cath with LAD lesion|clean coronaries], neurology followed"
        ),
        diagnosis="Cardiac arrest; [VF|PEA] arrest, anoxic brain injury",
        drugs="Amiodarone 200 mg daily; Aspirin 81 mg daily",
        codes=(("4275", 0.95), ("3481", 0.65), ("42741", 0.3)),
        procedures=(("9960", 0.5), ("8914", 0.4), ("3722", 0.3)),
    ),
    problem(
        "meningitis",
        2,
        (0.1, -0.2, 0.0),
        service="NEUROLOGY",
        region="head",
        complaint="headache and fever; neck stiffness; confusion",
        opening=(
            "presents with {duration} of [headache and photophobia|fever and neck stiffness]; "
            "with {duration} of [confusion and fever|headache], CSF with <80-2400> WBC"
        ),
        symptom="[petechial rash|college dormitory]; [photophobia|vomiting]; LP opening pressure <22-40>",
        exam="nuchal rigidity, [Kernig positive|photophobic]; lethargic, petechiae on legs",
        imaging="No mass or hydrocephalus; Leptomeningeal enhancement",
        operation="Lumbar puncture",
        course=(
            "Meningitis: [vancomycin, ceftriaxone and dexamethasone|acyclovir until HSV negative], LP done; "
            "CSF culture grew [pneumococcus|no organism], ID followed"
        ),
        diagnosis="[Bacterial|Viral] meningitis",
        drugs="Ceftriaxone 2 g IV q12h; Acyclovir 700 mg IV q8h",
        codes=(("3209 3201", 0.8), ("0479", 0.25)),
        procedures=(("0331", 0.95),),
    ),
)
