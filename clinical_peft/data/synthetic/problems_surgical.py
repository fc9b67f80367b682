"""Main problems of surgical, oncological, trauma and cardiac admissions."""

from clinical_peft.data.synthetic.problems import Problem, problem

SURGICAL: tuple[Problem, ...] = (
    problem(
        "myocardial infarction",
        8,
        (0.1, -0.2, -0.3),
        service="CARDIOLOGY",
        complaint="chest pain; chest pressure; substernal chest pain",
        opening=(
            "presents with {duration} of [substernal|crushing] chest pain; "
            "with {duration} of chest pressure radiating to the [jaw|left arm]"
        ),
        symptom=(
            "[ST elevations in II, III, aVF|anterior ST elevation|ST depressions]; troponin <0.4-9.8>; "
            "[diaphoresis and nausea|relief with nitro]"
        ),
        exam="[S4|no murmurs], no rub; diaphoretic, [groin without hematoma|JVP flat]",
        imaging="No acute cardiopulmonary process; Mild cardiomegaly, [no edema|mild edema]",
        operation="Cardiac catheterization with stent to [LAD|RCA|LCx]; Cardiac catheterization",
        course=(
            "NSTEMI/STEMI: cath with <70-100>% [LAD|RCA|circumflex] lesion, [DES|BMS] placed; "
            "CK peaked at <300-4200>, TTE with [apical akinesis|inferior hypokinesis], EF <25-55>%"
        ),
        diagnosis="[ST elevation|Non-ST elevation] MI; Acute myocardial infarction",
        drugs="Clopidogrel 75 mg daily; Metoprolol succinate [25|50|100] mg daily",
        codes=(("41071 41091 41041", 0.95), ("41401", 0.8)),
        procedures=(("0066", 0.6), ("3607 3606", 0.6), ("3722", 0.75), ("8856", 0.7)),
    ),
    problem(
        "coronary bypass",
        8,
        (-0.5, -0.6, 1.0),
        service="CARDIOTHORACIC",
        elective=True,
        complaint="exertional angina; chest pain on exertion; positive stress test",
        opening=(
            "with {duration} of exertional angina, [positive stress test|cath showing 3 vessel disease], "
            "referred for CABG; electively admitted for [bypass surgery|CABG] after {duration} of angina"
        ),
        symptom="[left main <50-90>%|three vessel disease]; EF <35-60>%; class <2-3> angina",
        exam="sternum stable, [no murmur|soft systolic murmur]; no carotid bruits, good saphenous conduit",
        imaging=(
            "Status post sternotomy, [small left effusion|bibasilar atelectasis]; "
            "Median sternotomy wires, no pneumothorax"
        ),
        operation="CABG x<2-4> (LIMA-LAD, SVG-[OM|PDA|diag])",
        course=(
            "Taken to the OR for CABG x<2-4>, extubated [POD 0|POD 1|after some days], chest tubes out POD "
            "<2-3>; Postop [AF treated with amiodarone|course notable for diuresis], wires removed"
        ),
        diagnosis="Coronary artery disease s/p CABG",
        drugs="Metoprolol 25 mg bid; Amiodarone 400 mg daily",
        codes=(("41401", 0.97), ("42731", 0.25)),
        procedures=(("3615", 0.85), ("3612 3613", 0.85), ("3961", 0.9)),
    ),
    problem(
        "aortic valve surgery",
        4,
        (-0.2, -0.4, 1.1),
        service="CARDIOTHORACIC",
        elective=True,
        complaint="dyspnea with exertion; syncope; fatigue",
        opening=(
            "with severe aortic stenosis and {duration} of [exertional dyspnea|presyncope], here for AVR; "
            "electively admitted for valve replacement after {duration} of [syncope|fatigue]"
        ),
        symptom=(
            "valve area <0.5-0.9>, mean gradient <40-70>; [clean coronaries|single vessel CAD] on cath; "
            "critical AS on echo"
        ),
        exam="[3/6|4/6] harsh systolic murmur to carotids; pulsus parvus, S4",
        imaging=(
            "Prosthetic aortic valve, [small effusions|left basilar atelectasis]; "
            "Postoperative cardiomediastinal contours"
        ),
        operation="Aortic valve replacement with <19-27> mm [tissue|mechanical] valve",
        course=(
            "Underwent AVR with a <19-27> mm [Magna|CE pericardial|St. Jude] valve, [paced initially|pressors "
            "weaned POD 1]; Postop [heart block required pacing|course complicated by AF], coumadin begun"
        ),
        diagnosis="Aortic stenosis s/p AVR",
        drugs="Warfarin 3 mg daily; Furosemide 20 mg daily",
        codes=(("4241", 0.95),),
        procedures=(("3521 3522", 0.95), ("3961", 0.9)),
    ),
    problem(
        "bowel obstruction",
        4,
        (-0.2, -0.5, 0.0),
        service="SURGERY",
        region="abdomen",
        complaint="abdominal pain and vomiting; obstipation; distention",
        opening=(
            "presents with {duration} of [crampy abdominal pain|bilious emesis] and obstipation; "
            "with {duration} of distention, CT with SBO"
        ),
        symptom=(
            "[last flatus 2 days ago|prior hysterectomy]; [transition point in RLQ|dilated loops]; "
            "NGT put out <600-2200> cc"
        ),
        exam="distended, tympanitic, [no rebound|high pitched bowel sounds]; midline scar, diffuse tenderness",
        imaging="Dilated small bowel loops to <3-6> cm with transition point; High grade small bowel obstruction",
        operation="Exploratory laparotomy, lysis of adhesions; Small bowel resection",
        course=(
            "SBO: NGT decompression, [failed conservative management and went to OR|resolved without surgery]; "
            "Lysis of adhesions done, [flatus POD <3-6>|diet advanced slowly]"
        ),
        diagnosis="Small bowel obstruction",
        drugs="Colace 100 mg bid; Oxycodone 5 mg prn",
        codes=(("56081 5609", 0.95),),
        procedures=(("5459", 0.75), ("4562", 0.35), ("9607", 0.3)),
    ),
    problem(
        "subdural hematoma",
        4,
        (0.2, -0.2, 0.3),
        service="NEUROSURGERY",
        region="head",
        complaint="s/p fall; headache after fall; head injury",
        opening=(
            "s/p [mechanical|unwitnessed] fall {duration} ago with headache, CT with SDH; "
            "fell [down stairs|in bathroom] {duration} ago, [on coumadin|on aspirin], SDH on CT"
        ),
        symptom="[GCS <8-15>|brief LOC]; <4-18> mm shift; [acute on chronic|convexity] subdural",
        exam="scalp [laceration|hematoma], pronator drift; [oriented x2|lethargic], pupils equal",
        imaging=(
            "[Left|Right] subdural hematoma measuring <6-22> mm, <2-12> mm shift; Acute on chronic subdural collection"
        ),
        operation="[Left|Right] craniotomy for SDH evacuation; Burr hole drainage",
        course=(
            "SDH evacuated via [craniotomy|burr holes], [drain out POD <1-3>|repeat CT stable]; "
            "Dilantin for seizure prophylaxis, [platelets given|INR reversed]"
        ),
        diagnosis="[Left|Right] subdural hematoma",
        drugs="Phenytoin 100 mg tid; Dexamethasone taper",
        codes=(("85220 85221", 0.95), ("E8859 E8859", 0.5), ("E8889 E8889", 0.4)),
        procedures=(("0131 0139", 0.8), ("8703", 0.3)),
    ),
    problem(
        "hip fracture",
        4,
        (-0.3, -0.7, -0.8),
        service="ORTHOPAEDICS",
        region="bone",
        complaint="hip pain after fall; left hip pain; right hip fracture",
        opening=(
            "tripped and fell {duration} ago with [left|right] hip pain, [intertrochanteric|femoral neck] "
            "fracture; s/p [ground level|mechanical] fall {duration} ago, hip fracture on films"
        ),
        symptom="unable to bear weight; [lives alone|walks with cane]; leg [shortened|rotated]",
        exam="[left|right] leg shortened and externally rotated; tender over greater trochanter",
        imaging=(
            "[Displaced|Comminuted] intertrochanteric fracture; Femoral neck fracture with [varus angulation|impaction]"
        ),
        operation="ORIF [left|right] hip; Hemiarthroplasty",
        course=(
            "Hip fracture: [ORIF|hemiarthroplasty] on HD <1-3>, [lovenox prophylaxis|WBAT], PT daily; "
            "Postop [pain controlled|Hct stable], discharged to rehab"
        ),
        diagnosis="[Left|Right] hip fracture s/p repair",
        drugs="Enoxaparin 40 mg daily; Oxycodone 5 mg prn",
        codes=(("82021 8208 82009", 0.95), ("E8859 E8859", 0.6), ("E8889", 0.3)),
        procedures=(("7935", 0.6), ("8152 8151", 0.35)),
    ),
    problem(
        "polytrauma",
        5,
        (0.3, 0.4, 0.9),
        service="TRAUMA",
        complaint="MVC; s/p motor vehicle crash; trauma; polytrauma",
        opening=(
            "[restrained|unrestrained] driver in MVC {duration} ago with [rib fractures|pneumothorax]; "
            "s/p [high speed|rollover] crash {duration} ago, [rib fractures|splenic laceration]"
        ),
        symptom="prolonged extrication; [airbag deployed|ejected]; FAST [positive|negative]",
        exam="chest wall crepitus, [flail segment|ecchymosis]; seat belt sign, [pelvis stable|abdomen tender]",
        imaging=(
            "[Left|Right] rib fractures <3-9>, [small|moderate] pneumothorax; "
            "Pulmonary contusion with chest tube in place"
        ),
        operation="Chest tube placement; Splenectomy; None",
        course=(
            "Trauma: chest tube for pneumothorax, [epidural for rib pain|TLSO brace], tertiary survey "
            "[negative|with wrist fracture]; "
            "Splenic laceration [managed with embolization|followed by serial Hct]"
        ),
        diagnosis="Polytrauma s/p MVC, rib fractures",
        drugs="Oxycodone SR 10 mg bid; Ibuprofen 600 mg tid",
        codes=(("80703 80704", 0.85), ("8600 8604", 0.7), ("E8120 E8121", 0.9), ("86503", 0.3)),
        procedures=(("3404", 0.75),),
    ),
    problem(
        "lung cancer effusion",
        4,
        (0.6, 0.6, -0.4),
        service="OMED",
        complaint="dyspnea; hemoptysis; cough and weight loss",
        opening=(
            "with lung cancer presents with {duration} of [dyspnea|hemoptysis]; "
            "with NSCLC s/p [carboplatin|XRT], {duration} of progressive dyspnea"
        ),
        symptom="[<10-40> lb weight loss|bony pain]; loculated effusion on CT; [brain mets|hilar mass]",
        exam="decreased breath sounds [left|right], dullness; cachectic, clubbing",
        imaging="[Left|Right] hilar mass with [large|moderate] effusion; Spiculated mass and mediastinal adenopathy",
        operation="Thoracentesis; Bronchoscopy; Pleurodesis",
        course=(
            "Malignant effusion: [thoracentesis|pleurx] drained <800-2000> cc, [talc pleurodesis|cytology "
            "positive]; Oncology and palliative care [followed|discussed goals of care]"
        ),
        diagnosis="[Non-small cell|Small cell] lung cancer, malignant effusion",
        drugs="Morphine SR 15 mg bid; Dexamethasone 4 mg bid",
        codes=(("1623 1629", 0.95), ("51181 5119", 0.75), ("1985 1983", 0.4)),
        procedures=(("3491", 0.7), ("3324 3327", 0.45)),
    ),
    problem(
        "neutropenic fever",
        3,
        (0.5, 0.0, -0.4),
        service="OMED",
        complaint="neutropenic fever; fever after chemotherapy; febrile neutropenia",
        opening=(
            "with AML day <8-19> of chemo presents with {duration} of fever, ANC <0-400>; "
            "with leukemia s/p [7+3|HiDAC], {duration} of fevers"
        ),
        symptom="[mucositis|port erythema]; no localizing symptoms; [petechiae|odynophagia]",
        exam="port site clean, [mucositis|petechiae]; pale, no adenopathy",
        imaging="No infiltrate, port in place; [Nodular|Ground glass] opacities, consider fungal infection",
        operation="Bone marrow biopsy; None",
        course=(
            "Neutropenic fever: [cefepime and vancomycin|zosyn], [micafungin added|cultures negative], ANC "
            "recovered; Transfused to keep Hct >25 and plt >10, counts [recovered|slow to recover]"
        ),
        diagnosis="Febrile neutropenia; Acute myeloid leukemia",
        drugs="Fluconazole 400 mg daily; Acyclovir 400 mg tid",
        codes=(("28803 28800", 0.94), ("20500 20501", 0.92)),
        procedures=(("9925", 0.6), ("9905", 0.6), ("9904", 0.5)),
    ),
    problem(
        "aortic aneurysm repair",
        3,
        (-0.2, -0.2, 0.6),
        service="VASCULAR",
        elective=True,
        region="abdomen",
        complaint="abdominal aortic aneurysm; pulsatile mass; AAA",
        opening=(
            "with a <5-8> cm AAA followed for {duration}, admitted for [open|endovascular] repair; "
            "with enlarging aneurysm over {duration}, here for elective AAA repair"
        ),
        symptom="[infrarenal neck adequate|back discomfort]; smoker with PVD; growth of <4-12> mm on CT",
        exam="pulsatile abdominal mass, palpable femorals; [DP dopplerable|feet warm]",
        imaging="Infrarenal aneurysm measuring <5-8> cm; Endograft in place, [no endoleak|type II endoleak]",
        operation="[Open|Endovascular] AAA repair",
        course=(
            "AAA repair [via retroperitoneal approach|with endograft], [epidural|lines] out POD <2-4>; "
            "Postop [ileus|creatinine bump] resolved, pulses intact"
        ),
        diagnosis="Abdominal aortic aneurysm s/p repair",
        drugs="Aspirin 81 mg daily; Metoprolol 50 mg bid",
        codes=(("4414", 0.95),),
        procedures=(("3844", 0.55), ("3971", 0.45)),
    ),
    problem(
        "colon resection",
        3,
        (-0.4, -0.6, 0.0),
        service="SURGERY",
        elective=True,
        region="abdomen",
        complaint="colon mass; change in bowel habits; colon cancer",
        opening=(
            "with [cecal|ascending colon|sigmoid] cancer found on colonoscopy {duration} ago, for colectomy; "
            "with {duration} of [narrow stools|iron deficiency], colon mass on scope"
        ),
        symptom="CEA <3-60>; [no distant disease on CT|liver lesion]; biopsy with adenocarcinoma",
        exam="soft, [palpable RLQ mass|no hepatomegaly]; abdomen nontender, stoma site marked",
        imaging="Circumferential colonic thickening; Postoperative ileus pattern",
        operation="[Right|Left|Sigmoid] colectomy",
        course=(
            "Colectomy without complication, [flatus POD <3-6>|ileus required NGT], path [T2N0|T3N1]; "
            "Postop [wound infection opened|epidural removed POD 3], diet advanced"
        ),
        diagnosis="Colon cancer s/p resection",
        drugs="Hydromorphone 2 mg prn; Colace 100 mg bid",
        codes=(("1536 1534 1533", 0.95), ("5601", 0.3)),
        procedures=(("4573 4575 4576", 0.9),),
    ),
    problem(
        "cholangitis",
        4,
        (0.3, -0.4, -0.2),
        service="SURGERY",
        region="abdomen",
        complaint="RUQ pain; jaundice and fever; right upper quadrant pain",
        opening=(
            "presents with {duration} of RUQ pain, [jaundice|fever]; "
            "with {duration} of [fever and jaundice|biliary colic], cholangitis suspected"
        ),
        symptom="bilirubin <3-14>, CBD <9-18> mm; [dark urine|pale stools]; stones on ultrasound",
        exam="RUQ tenderness, [positive Murphy|icteric sclerae]; jaundiced, soft abdomen",
        imaging="Dilated common duct with [stone|sludge]; Gallbladder wall thickening and stones",
        operation="ERCP with [stent|sphincterotomy]; Laparoscopic cholecystectomy",
        course=(
            "Cholangitis: ERCP with [pus and stone extraction|stent], unasyn then cipro/flagyl; "
            "[Lap chole|Cholecystectomy] on HD <3-6>, bilirubin fell"
        ),
        diagnosis="[Acute |Ascending ]cholangitis",
        drugs="Ciprofloxacin 500 mg bid; Ursodiol 300 mg bid",
        codes=(("5761", 0.93), ("57450 57410", 0.8)),
        procedures=(("5185 5187", 0.8), ("5123", 0.4)),
    ),
)
