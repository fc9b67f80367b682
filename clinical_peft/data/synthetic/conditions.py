"""Chronic conditions: how common they are, how a note names them, how coders code them, which drugs go with them.

Codes are ICD-9-CM. Every rule holds codes of one group (three characters, four for V and E codes), so that the
probability of a group follows from the conditions of an admission.
"""

from dataclasses import dataclass

from clinical_peft.data.synthetic.draws import Bank, bank


@dataclass(frozen=True)
class CodeRule:
    """One code of ``codes`` is given with this probability."""

    codes: tuple[str, ...]
    probability: float


def code_rules(*pairs: tuple[str, float]) -> tuple[CodeRule, ...]:
    """Return rules from (codes separated by spaces, probability) pairs."""
    return tuple(CodeRule(tuple(codes.split()), probability) for codes, probability in pairs)


@dataclass(frozen=True)
class ChronicCondition:
    """A comorbidity; ``severity`` is what it adds to that of an admission, ``sex`` that of its patients if one."""

    name: str
    prevalence: float
    history: Bank
    rules: tuple[CodeRule, ...]
    drugs: Bank
    severity: float
    sex: str = ""


def _chronic(
    name: str, prevalence: float, codes: str, history: str, drugs: str = "", severity: float = 0.0, sex: str = ""
) -> ChronicCondition:
    return ChronicCondition(
        name,
        prevalence,
        bank(*history.split("; ")),
        code_rules((codes, 0.93)),
        bank(*drugs.split("; ")) if drugs else (),
        severity,
        sex,
    )


CHRONIC: tuple[ChronicCondition, ...] = (
    _chronic(
        "hypertension",
        0.42,
        "4019 4019 4011",
        "HTN; hypertension; [HTN|hypertension] on <2-3> agents",
        "Lisinopril [5|10|20|40] mg daily; Amlodipine [5|10] mg daily; Hydrochlorothiazide [12.5|25] mg daily",
    ),
    _chronic(
        "hyperlipidemia",
        0.32,
        "2724 2724 2720",
        "hyperlipidemia; HLD; hypercholesterolemia; dyslipidemia",
        "Simvastatin [20|40|80] mg qhs; Atorvastatin [10|20|40|80] mg daily",
    ),
    _chronic(
        "diabetes",
        0.25,
        "25000 25000 25060",
        "DM2; type 2 diabetes; DM type II on [insulin|metformin]; diabetes mellitus",
        "Metformin [500|850|1000] mg bid; Insulin glargine <10-40> units qhs; Glipizide [5|10] mg daily",
    ),
    _chronic(
        "coronary disease",
        0.22,
        "41401 41401 41400",
        "CAD; CAD s/p [PCI|LAD stent]; coronary artery disease",
        "Aspirin [81|325] mg daily; Metoprolol tartrate [12.5|25|50] mg bid; Nitroglycerin 0.4 mg SL prn",
    ),
    _chronic(
        "atrial fibrillation",
        0.19,
        "42731",
        "[paroxysmal |chronic |]AFib; atrial fibrillation on [coumadin|warfarin]; afib",
        "Warfarin <2-7> mg daily; Diltiazem ER [120|180|240] mg daily; Digoxin 0.125 mg daily",
    ),
    _chronic(
        "heart failure",
        0.17,
        "4280 4280 42822",
        "CHF (EF <20-45>%); chronic systolic heart failure; CHF",
        "Furosemide [20|40|80] mg daily; Carvedilol [3.125|6.25|12.5] mg bid",
        0.15,
    ),
    _chronic(
        "kidney disease",
        0.14,
        "5859 5853 5854",
        "CKD stage [II|III|IV]; chronic kidney disease; CKD, baseline Cr <1.5-2.6>",
        "Calcitriol 0.25 mcg daily; Sodium bicarbonate 650 mg bid",
        0.1,
    ),
    _chronic(
        "dialysis",
        0.06,
        "V4511",
        "ESRD on [HD|hemodialysis] [MWF|TTS]; dialysis dependent renal failure",
        "Nephrocaps 1 cap daily; Sevelamer [800|1600] mg tid",
        0.2,
    ),
    _chronic(
        "COPD",
        0.15,
        "496",
        "COPD; COPD on home O2; chronic obstructive lung disease; severe COPD",
        "Tiotropium 18 mcg inh daily; Advair [250/50|500/50] inh bid; Albuterol inh q4h prn",
        0.1,
    ),
    _chronic(
        "asthma",
        0.07,
        "49390",
        "asthma; asthma, [never intubated|on inhalers]",
        "Albuterol inh prn; Fluticasone [110|220] mcg inh bid",
    ),
    _chronic(
        "reflux",
        0.18,
        "53081",
        "GERD; reflux; GERD with [hiatal hernia|esophagitis]",
        "Omeprazole [20|40] mg daily; Pantoprazole 40 mg daily; Ranitidine 150 mg bid",
    ),
    _chronic(
        "hypothyroidism",
        0.12,
        "2449",
        "hypothyroidism; hypothyroid on [levothyroxine|replacement]",
        "Levothyroxine [25|50|75|88|100|125] mcg daily",
    ),
    _chronic(
        "depression",
        0.13,
        "311",
        "depression; [major |]depression on SSRI",
        "Sertraline [50|100] mg daily; Citalopram [10|20|40] mg daily",
    ),
    _chronic("smoking", 0.1, "3051", "tobacco abuse; active smoker, <10-60> pack years; tobacco use"),
    _chronic("former smoking", 0.09, "V1582", "former smoker; remote tobacco, quit <5-30> yrs ago; ex-smoker"),
    _chronic(
        "alcohol dependence",
        0.08,
        "30391 30391 30390",
        "EtOH abuse; alcoholism; alcohol dependence, prior DTs",
        "Thiamine 100 mg daily; Folic acid 1 mg daily",
        0.1,
    ),
    _chronic(
        "cirrhosis",
        0.05,
        "5715 5712 5715",
        "cirrhosis; [EtOH|HCV|NASH] cirrhosis, [Child B|Child C|varices]",
        "Spironolactone [25|50|100] mg daily; Lactulose 30 ml tid; Nadolol 20 mg daily",
        0.25,
    ),
    _chronic(
        "anemia",
        0.1,
        "28521 28529",
        "anemia of chronic disease; chronic anemia, baseline Hct <26-33>",
        "Ferrous sulfate 325 mg daily; Epoetin weekly",
    ),
    _chronic("obesity", 0.07, "27800 27801", "obesity, BMI <32-52>; morbid obesity; obese"),
    _chronic("sleep apnea", 0.06, "32723", "OSA on CPAP; sleep apnea; OSA, noncompliant with CPAP"),
    _chronic(
        "vascular disease",
        0.07,
        "4439 4439",
        "PVD; peripheral vascular disease; PAD with claudication",
        "Clopidogrel 75 mg daily; Cilostazol 100 mg bid",
    ),
    _chronic(
        "prior stroke",
        0.07,
        "V1254",
        "prior CVA; TIA <1-9> years ago; old stroke without deficits",
        "Aspirin-dipyridamole 25/200 mg bid; Clopidogrel 75 mg daily",
    ),
    _chronic(
        "dementia",
        0.06,
        "29410 29420",
        "dementia; Alzheimer dementia; [moderate|advanced] dementia",
        "Donepezil [5|10] mg qhs; Memantine 10 mg bid",
        0.15,
    ),
    _chronic(
        "seizure disorder",
        0.05,
        "34590",
        "seizure disorder; epilepsy on [keppra|dilantin]",
        "Levetiracetam [500|1000] mg bid; Phenytoin 300 mg qhs",
    ),
    _chronic(
        "Parkinson disease", 0.03, "3320", "Parkinson's disease; parkinsonism", "Carbidopa-levodopa 25-100 mg tid"
    ),
    _chronic(
        "gout", 0.05, "2749", "gout; gout on allopurinol", "Allopurinol [100|300] mg daily; Colchicine 0.6 mg prn"
    ),
    _chronic(
        "osteoporosis",
        0.06,
        "73300",
        "osteoporosis; osteopenia with compression fractures",
        "Alendronate 70 mg weekly; Calcium carbonate 500 mg tid",
    ),
    _chronic(
        "rheumatoid arthritis",
        0.03,
        "7140",
        "rheumatoid arthritis; RA on [methotrexate|prednisone]",
        "Methotrexate [10|15] mg weekly; Prednisone 5 mg daily",
    ),
    _chronic(
        "prostate hyperplasia",
        0.05,
        "60000",
        "BPH; enlarged prostate",
        "Tamsulosin 0.4 mg qhs; Finasteride 5 mg daily",
        sex="M",
    ),
    _chronic("prior bypass", 0.06, "V4581", "s/p CABG x<2-4>; prior bypass surgery"),
    _chronic("pacemaker", 0.05, "V4501", "s/p [dual chamber |]pacemaker; PPM for [SSS|complete heart block]"),
    _chronic("anticoagulation", 0.06, "V5861", "on long term anticoagulation; chronic coumadin therapy"),
    _chronic(
        "prior breast cancer",
        0.03,
        "V103",
        "h/o breast cancer s/p [lumpectomy|mastectomy]",
        "Tamoxifen 20 mg daily",
        sex="F",
    ),
    _chronic("prior prostate cancer", 0.03, "V1046", "h/o prostate cancer s/p [XRT|prostatectomy]", sex="M"),
    _chronic("prior venous clot", 0.04, "V1251", "h/o DVT; prior PE, IVC filter; h/o DVT/PE"),
    _chronic(
        "metastatic cancer",
        0.05,
        "1985 1983",
        "metastatic [lung|breast|colon] cancer; widely metastatic disease",
        "Oxycodone SR [10|20|40] mg bid; Fentanyl patch 50 mcg q72h",
        0.35,
    ),
    _chronic(
        "kidney transplant",
        0.02,
        "V420",
        "s/p [cadaveric|living related] renal transplant",
        "Tacrolimus <1-4> mg bid; Mycophenolate [500|1000] mg bid",
        0.1,
    ),
    _chronic("aortic stenosis", 0.05, "4241", "aortic stenosis, valve area <0.6-1.3>; [moderate|severe] AS"),
    _chronic("lymphoma", 0.02, "20280", "lymphoma; NHL s/p [R-CHOP|chemotherapy]", "Acyclovir 400 mg bid", 0.2),
)

ASYMPTOMATIC_HIV = _chronic(
    "HIV",
    0.0,
    "V08",
    "HIV, last CD4 <350-800>; HIV on HAART, undetectable viral load",
    "Emtricitabine-tenofovir 200-300 mg daily; Efavirenz 600 mg qhs",
)
