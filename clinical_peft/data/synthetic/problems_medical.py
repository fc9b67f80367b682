"""Main problems of medical admissions."""

from clinical_peft.data.synthetic.problems import Problem, problem

MEDICAL: tuple[Problem, ...] = (
    problem(
        "pneumonia",
        8,
        (0.1, 0.5, 0.1),
        complaint="cough; fever and cough; shortness of breath; productive cough",
        opening=(
            "presents with {duration} of [productive|worsening] cough and [fever|chills]; "
            "with {duration} of [cough, malaise and fevers|purulent sputum]"
        ),
        symptom=(
            "[sputum rusty|pleuritic chest pain]; [sick contacts at home|rigors overnight]; "
            "CXR with [RLL|LLL|multifocal] infiltrate"
        ),
        exam="[coarse crackles|bronchial breath sounds] at [right|left] base; rhonchi [R>L|throughout]",
        imaging=(
            "[Right lower|Left lower|Right middle] lobe consolidation, consistent with pneumonia; "
            "Multifocal airspace opacities [concerning for|suggesting] infection"
        ),
        course=(
            "[Pneumonia|CAP]: started on [ceftriaxone and azithromycin|levofloxacin|vancomycin and cefepime], "
            "sputum grew [oral flora|S. pneumoniae|MRSA]; "
            "Treated for pneumonia with <5-10> days of [levofloxacin|cefepime|ceftriaxone]"
        ),
        diagnosis="[Community acquired |Healthcare associated |]Pneumonia",
        drugs="Levofloxacin [500|750] mg daily; Azithromycin 250 mg daily",
        codes=(("486 486 486", 0.9), ("4829 48241 4821", 0.15)),
        procedures=(("3324", 0.3), ("3893", 0.25)),
    ),
    problem(
        "aspiration",
        4,
        (0.4, 0.8, 0.4),
        complaint="aspiration; choking episode; hypoxia after vomiting",
        opening=(
            "[found|noted] to have [witnessed|suspected] aspiration [at nursing home|with feeding] {duration} "
            "ago; presents after [vomiting and choking|an aspiration event] {duration} ago"
        ),
        symptom="[gurgling secretions|food in airway]; [poor cough|weak gag]; dysphagia at baseline",
        exam="[diffuse rhonchi|gurgling upper airway sounds]; poor dentition, crackles at right base",
        imaging=(
            "[Dependent|Bibasilar] opacities, likely aspiration; "
            "New right lower lobe opacity [compatible with|suspicious for] aspiration"
        ),
        course=(
            "Aspiration pneumonitis: kept NPO, [speech and swallow evaluated|video swallow showed aspiration]; "
            "[Unasyn|Flagyl and levofloxacin] given for aspiration, [PEG discussed|diet modified]"
        ),
        diagnosis="Aspiration [pneumonia|pneumonitis]",
        drugs="Metronidazole 500 mg tid; Augmentin 875 mg bid",
        codes=(("5070", 0.92),),
        procedures=(("3324 3322", 0.3), ("966", 0.4), ("4311", 0.2)),
    ),
    problem(
        "COPD exacerbation",
        6,
        (-0.2, 0.6, 0.0),
        complaint="dyspnea; wheezing; shortness of breath",
        opening=(
            "presents with {duration} of [increased wheeze|worsening dyspnea] and sputum; "
            "with COPD flare, {duration} of [wheezing|dyspnea on exertion]"
        ),
        symptom="[ran out of inhalers|using nebs hourly]; [recent URI|still smoking]; no relief with albuterol",
        exam="[diffuse expiratory wheezes|poor air movement], prolonged expiration; tripoding, barrel chest",
        imaging=(
            "Hyperinflated lungs, [no focal consolidation|flattened diaphragms]; "
            "Emphysematous changes without acute infiltrate"
        ),
        course=(
            "COPD flare: [solumedrol then prednisone taper|nebs, steroids and azithromycin]; "
            "Exacerbation treated with [standing nebs|BiPAP and steroids], [weaned to home O2|PFTs deferred]"
        ),
        diagnosis="COPD exacerbation; Acute exacerbation of chronic bronchitis",
        drugs="Prednisone taper from [40|60] mg; Tiotropium 18 mcg daily",
        codes=(("49121", 0.92),),
        procedures=(("9390", 0.55),),
    ),
    problem(
        "sepsis",
        9,
        (0.9, 0.3, 0.3),
        complaint="fever; hypotension; sepsis; fevers and rigors",
        opening=(
            "[sent|referred] from [rehab|nursing home|clinic] with {duration} of fever and [lethargy|rigors]; "
            "presents with {duration} of [fevers|chills], found to be septic"
        ),
        symptom=(
            "[blood cultures with GPCs|GNR bacteremia]; [indwelling foley|PICC line in place]; "
            "WBC <14-33> with bandemia"
        ),
        exam="[warm|cool] extremities, [flushed|mottled]; rigoring, dry mucous membranes",
        imaging=(
            "No acute cardiopulmonary process, lines in standard position; "
            "Low lung volumes, [mild vascular congestion|no consolidation]"
        ),
        operation="Central line placement; Arterial line placement; None",
        course=(
            "Sepsis: source was [urine|line|unclear], [broad spectrum antibiotics|vancomycin and zosyn] given, "
            "cultures grew [E. coli|MSSA|Klebsiella]; "
            "Resuscitated with <3-9> L saline, [narrowed to ceftriaxone|completed <10-14> days meropenem]"
        ),
        diagnosis="Sepsis; [Severe sepsis|Septicemia], [urinary|line|unknown] source",
        drugs="Vancomycin 1 g IV q12h; Ceftriaxone 1 g IV daily",
        codes=(("0389 0389 03842 03849", 0.93), ("99592 99591", 0.9)),
        procedures=(("3893 3897", 0.7), ("3891", 0.35), ("0017", 0.25)),
    ),
    problem(
        "heart failure flare",
        8,
        (0.0, 0.3, -0.3),
        service="CARDIOLOGY",
        complaint="dyspnea on exertion; leg swelling; shortness of breath; orthopnea",
        opening=(
            "presents with {duration} of [orthopnea|leg edema] and weight gain of <6-30> lbs; "
            "with {duration} of [dyspnea on exertion|PND], decompensated CHF"
        ),
        symptom="[dietary indiscretion|missed lasix doses]; BNP <900-9800>; sleeping on <2-4> pillows",
        exam="JVP <10-18> cm, [2+|3+] pitting edema; S3, bibasilar crackles",
        imaging=(
            "[Moderate|Mild] pulmonary edema with cardiomegaly; "
            "Cephalization and [small effusions|enlarged cardiac silhouette]"
        ),
        course=(
            "Heart failure: diuresed <4-15> L with [lasix drip|IV lasix|lasix and metolazone]; "
            "TTE showed EF <15-45>%, [ACE inhibitor started|beta blocker uptitrated]"
        ),
        diagnosis="Acute on chronic [systolic|diastolic] heart failure; CHF exacerbation",
        drugs="Furosemide [40|80|120] mg bid; Lisinopril [2.5|5|10] mg daily",
        codes=(("42823 42833 4280", 0.95),),
        procedures=(("8872", 0.45), ("3723 3721", 0.15)),
    ),
    problem(
        "gastrointestinal bleed",
        7,
        (0.0, -0.5, -0.6),
        region="abdomen",
        complaint="melena; hematemesis; bright red blood per rectum; black stools",
        opening=(
            "presents with {duration} of [melena|black tarry stools]; "
            "with <2-6> episodes of [hematemesis|coffee ground emesis] over {duration}"
        ),
        symptom="[lightheaded on standing|taking NSAIDs daily]; NG lavage [positive|clear]; guaiac positive",
        exam="[pale conjunctivae|melena on rectal exam]; abdomen soft, guaiac positive",
        imaging="No free air, [nonspecific bowel gas pattern|no active extravasation]; No evidence of obstruction",
        operation="EGD; Colonoscopy; EGD with [clipping|cautery]",
        course=(
            "GI bleed: EGD showed [duodenal ulcer|gastric ulcer|esophagitis|angioectasia], "
            "[clipped|cauterized|injected with epinephrine]; "
            "Transfused <2-8> units, [PPI drip|octreotide], scope found [an ulcer|no active bleeding]"
        ),
        diagnosis="[Upper|Lower] GI bleed; Bleeding [duodenal|gastric] ulcer",
        drugs="Pantoprazole 40 mg bid; Sucralfate 1 g qid",
        codes=(("5789 5780 5781", 0.8), ("53240 53200", 0.3), ("2851", 0.55)),
        procedures=(("4513 4516", 0.8), ("4443", 0.35), ("9904", 0.7), ("4523", 0.2)),
    ),
    problem(
        "pancreatitis",
        4,
        (-0.1, -0.3, -0.2),
        region="abdomen",
        complaint="epigastric pain; abdominal pain radiating to back",
        opening=(
            "presents with {duration} of [epigastric pain|pain boring to the back] and vomiting; "
            "with {duration} of [severe upper abdominal pain|epigastric pain after binge], lipase <600-4800>"
        ),
        symptom=(
            "[gallstones on ultrasound|recent alcohol binge]; "
            "[unable to keep food down|triglycerides <900-3000>]; lipase elevated"
        ),
        exam="epigastric tenderness with [guarding|voluntary guarding]; hypoactive bowel sounds, tender epigastrium",
        imaging=(
            "Peripancreatic stranding [without|with focal] necrosis; "
            "Enlarged edematous pancreas, [no collection|small fluid collection]"
        ),
        operation="ERCP; None",
        course=(
            "Pancreatitis: NPO, aggressive fluids, [ERCP with stone extraction|dilaudid PCA], diet advanced; "
            "Lipase trended down from <900-5000>, [tolerated low fat diet|post-pyloric feeds]"
        ),
        diagnosis="[Gallstone|Alcoholic|Acute] pancreatitis",
        drugs="Hydromorphone 2 mg prn; Pancrelipase with meals",
        codes=(("5770", 0.95), ("57450 57410", 0.35)),
        procedures=(("5185 5187", 0.35), ("9915", 0.2)),
    ),
    problem(
        "decompensated cirrhosis",
        4,
        (0.5, -0.2, -0.1),
        region="abdomen",
        complaint="abdominal distention; jaundice; confusion; ascites",
        opening=(
            "with [EtOH|HCV] cirrhosis presents with {duration} of [increasing abdominal girth|jaundice]; "
            "with {duration} of [confusion and asterixis|worsening ascites], decompensated liver disease"
        ),
        symptom="[not taking lactulose|missed paracentesis]; MELD <15-38>; bilirubin <4-24>",
        exam="[icteric|jaundiced], tense ascites, asterixis; shifting dullness, spider angiomata",
        imaging="Nodular liver with [large|moderate] ascites; Patent portal vein, splenomegaly, ascites",
        operation="Paracentesis; None",
        course=(
            "Liver: paracentesis removed <2-8> L [with albumin|negative for SBP]; "
            "Encephalopathy [cleared with lactulose|treated with rifaximin], [transplant workup "
            "begun|diuretics held]"
        ),
        diagnosis="Decompensated cirrhosis; Hepatic encephalopathy",
        drugs="Rifaximin 550 mg bid; Lactulose 30 ml qid",
        codes=(("5712 5715", 0.94), ("5722 5723", 0.55), ("78959", 0.5)),
        procedures=(("5491", 0.75), ("9907", 0.25)),
    ),
    problem(
        "ketoacidosis",
        4,
        (-0.5, -0.8, -1.2),
        complaint="hyperglycemia; nausea and vomiting; DKA",
        opening=(
            "presents with {duration} of [polyuria and vomiting|nausea], glucose <420-980>; "
            "with DKA after {duration} of [missed insulin|gastroenteritis]"
        ),
        symptom="anion gap <18-34>; [ketones in urine|fruity breath]; [insulin pump failed|ran out of insulin]",
        exam="dry mucous membranes, [Kussmaul breathing|tachycardic]; abdomen mildly tender",
        imaging="No acute process; Clear lungs",
        course=(
            "DKA: insulin drip until gap closed, [lantus restarted|diabetes service consulted], K repleted; "
            "Gap closed at <8-22> hours, [transitioned to glargine|diabetes teaching]"
        ),
        diagnosis="Diabetic ketoacidosis",
        drugs="Insulin glargine <14-40> units qhs; Humalog sliding scale",
        codes=(("25011 25013 25010", 0.95), ("2762", 0.2), ("2765 27651", 0.4)),
        procedures=(("9917", 0.5),),
    ),
    problem(
        "pulmonary embolism",
        4,
        (-0.1, 0.2, -0.5),
        complaint="pleuritic chest pain; shortness of breath; leg swelling",
        opening=(
            "presents with {duration} of [pleuritic pain|sudden dyspnea], CTA with "
            "[bilateral|saddle|segmental] PE; with {duration} of calf swelling and dyspnea, PE on CTA"
        ),
        symptom="[long flight|recent surgery]; troponin leak, RV strain; LENIs with [popliteal|femoral] DVT",
        exam="[unilateral calf swelling|loud P2], clear lungs; tachycardic, [left|right] leg edema",
        imaging=(
            "Filling defects in [bilateral|right|left] pulmonary arteries; "
            "Acute pulmonary embolism with [RV strain|no infarct]"
        ),
        operation="IVC filter placement; None",
        course=(
            "PE: heparin bridge to [coumadin|lovenox], [TTE with RV strain|filter placed]; "
            "Anticoagulated, INR <2-3> at discharge, [hypercoagulable workup sent|LENI positive]"
        ),
        diagnosis="[Acute|Submassive] pulmonary embolism",
        drugs="Enoxaparin [60|80|100] mg bid; Warfarin 5 mg daily",
        codes=(("41519 41511", 0.95), ("45341 45340", 0.5)),
        procedures=(("387", 0.3),),
    ),
)
