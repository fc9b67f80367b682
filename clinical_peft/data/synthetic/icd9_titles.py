"""Short names of the ICD-9-CM codes that the synthetic hospital uses, in our own words.

The meaning of a code follows ICD-9-CM (CMS and NCHS); the wording is not the official title.
"""


def _titles(table: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in table.strip().splitlines())


DIAGNOSIS_TITLES: dict[str, str] = _titles("""
00845 C. difficile enteritis
0340 Strep throat
03842 E. coli septicemia
03849 Gram-negative septicemia, other
0389 Septicemia, organism not stated
0479 Viral meningitis, virus not stated
0529 Chickenpox, uncomplicated
1430 Cancer of the upper gum
1533 Cancer of the sigmoid colon
1534 Cancer of the cecum
1536 Cancer of the ascending colon
1623 Lung cancer, upper lobe
1629 Lung cancer, site not stated
1983 Metastasis to brain or spinal cord
1985 Metastasis to bone
20280 Lymphoma, other kind, outside lymph nodes
20500 Acute myeloid leukemia, not in remission
20501 Acute myeloid leukemia, in remission
2449 Hypothyroidism, cause not stated
25000 Type 2 diabetes without complication
25010 Type 2 diabetes with ketoacidosis
25011 Type 1 diabetes with ketoacidosis
25013 Type 1 diabetes with ketoacidosis, out of control
25060 Type 2 diabetes with nerve disease
2639 Malnutrition, degree not stated
2720 High cholesterol
2724 High blood lipids, other
2749 Gout, site not stated
2753 Phosphorus disorder
2761 Low sodium
2762 Acidosis
27651 Dehydration
2767 High potassium
2768 Low potassium
27800 Obesity
27801 Severe obesity
2809 Iron deficiency anemia
2851 Anemia from acute blood loss
28521 Anemia of kidney disease
28529 Anemia of other chronic disease
2866 Disseminated intravascular coagulation
2869 Clotting defect, other
2875 Low platelets
28800 Neutropenia, cause not stated
28803 Neutropenia from a drug
2910 Delirium tremens
29181 Alcohol withdrawal without delirium
2930 Delirium from a medical condition
29410 Dementia from another disease, calm
29420 Dementia, type not stated, calm
30301 Drunkenness in alcoholism, continuous
30390 Alcoholism, course not stated
30391 Alcoholism, continuous
3051 Tobacco use
311 Depression, other
3201 Pneumococcal meningitis
3209 Bacterial meningitis, organism not stated
32723 Obstructive sleep apnea
3320 Parkinson's disease
34281 Hemiplegia of the dominant side, other
34290 Hemiplegia, side not stated
34590 Epilepsy, type not stated
3481 Brain damage from lack of oxygen
3484 Brain compression
3485 Brain swelling
35801 Myasthenia gravis in exacerbation
3899 Hearing loss
4011 Hypertension, benign
4019 Hypertension, type not stated
41041 Inferior wall infarction, first care
41071 Infarction without ST elevation, first care
41091 Myocardial infarction, site not stated, first care
41400 Coronary disease, vessel not stated
41401 Coronary disease of a native artery
41511 Pulmonary embolism after a procedure
41519 Pulmonary embolism, other
4241 Aortic valve disease
42731 Atrial fibrillation
42741 Ventricular fibrillation
4275 Cardiac arrest
4279 Arrhythmia, type not stated
4280 Heart failure, congestive, type not stated
42822 Systolic heart failure, chronic
42823 Systolic heart failure, acute on chronic
42833 Diastolic heart failure, acute on chronic
431 Bleeding into the brain
43411 Stroke from a cerebral embolus
43491 Stroke from an occluded cerebral artery
4414 Abdominal aortic aneurysm, intact
4439 Peripheral vascular disease
45340 Deep vein clot of the leg, acute
45341 Deep vein clot of the thigh, acute
4589 Low blood pressure
4821 Pseudomonas pneumonia
48241 Staphylococcal pneumonia, methicillin susceptible
4829 Bacterial pneumonia, organism not stated
486 Pneumonia, organism not stated
49121 Chronic obstructive bronchitis in exacerbation
49390 Asthma, type not stated
496 Chronic airway obstruction, other
5070 Aspiration pneumonitis
51181 Malignant pleural effusion
5119 Pleural effusion, cause not stated
5180 Collapsed lung tissue
51881 Respiratory failure, acute
51884 Respiratory failure, acute on chronic
53081 Acid reflux
53200 Acute duodenal ulcer with bleeding
53240 Chronic duodenal ulcer with bleeding
5601 Ileus
56081 Bowel obstruction from adhesions
5609 Bowel obstruction, cause not stated
5641 Irritable bowel
5712 Alcoholic cirrhosis
5715 Cirrhosis without alcohol
5722 Hepatic encephalopathy
5723 Portal hypertension
57410 Gallstones with gallbladder inflammation
57450 Bile duct stone without inflammation
5761 Cholangitis
5770 Pancreatitis, acute
5780 Vomiting of blood
5781 Blood in stool
5789 Gastrointestinal bleeding, site not stated
5845 Acute tubular necrosis
5849 Acute kidney failure, cause not stated
5853 Kidney disease, stage 3
5854 Kidney disease, stage 4
5859 Kidney disease, stage not stated
5920 Kidney stone
5990 Urinary infection
60000 Enlarged prostate
70703 Pressure ulcer of the lower back
7140 Rheumatoid arthritis
7245 Back pain
73300 Osteoporosis
76528 Born at 35 to 36 weeks
7746 Newborn jaundice
78097 Altered mental status
78551 Cardiogenic shock
78552 Septic shock
78820 Urinary retention
78959 Ascites, other
80703 Three broken ribs
80704 Four broken ribs
82009 Broken neck of the femur, other
82021 Intertrochanteric fracture
8208 Broken neck of the femur, part not stated
85220 Subdural bleeding after injury
85221 Subdural bleeding after injury, awake throughout
8600 Traumatic pneumothorax
8604 Traumatic pneumothorax with hemothorax
86503 Torn spleen
94830 Burns of 30 to 39 % of the body
9694 Benzodiazepine poisoning
9695 Sedative poisoning, other
99591 Sepsis
99592 Severe sepsis
E8120 Car crash, driver
E8121 Car crash, passenger
E8859 Fall from slipping
E8889 Fall, manner not stated
E9500 Self-poisoning with a pain reliever
E9503 Self-poisoning with a sedative
V053 Hepatitis vaccination
V08 HIV infection without symptoms
V1005 Past colon cancer
V103 Past breast cancer
V1046 Past prostate cancer
V1251 Past venous clot
V1254 Past stroke or TIA, recovered
V1582 Past tobacco use
V290 Newborn watched for infection
V3000 Single newborn, vaginal birth
V3001 Single newborn, cesarean birth
V420 Transplanted kidney
V4364 Artificial hip
V4501 Pacemaker
V4511 Dialysis status
V4581 Past coronary bypass
V5861 Long-term anticoagulant
V594 Donor of a kidney
V667 Palliative care
""")

PROCEDURE_TITLES: dict[str, str] = _titles("""
0017 Vasopressor infusion
0034 Computer-assisted surgery without images
0066 Coronary angioplasty
0131 Opening of the meninges
0139 Opening of the brain, other
0221 External ventricular drain
0331 Lumbar puncture
034 Removal of a spinal cord lesion
311 Tracheostomy, temporary
3322 Bronchoscopy
3324 Bronchoscopy with biopsy or lavage
3327 Lung biopsy through the bronchoscope
3404 Chest tube
3491 Thoracentesis
3521 Aortic valve replacement, tissue
3522 Aortic valve replacement, other
3606 Coronary stent, bare metal
3607 Coronary stent, drug-eluting
3612 Bypass of two coronary arteries
3613 Bypass of three coronary arteries
3615 Internal mammary bypass, single
3721 Right heart catheterization
3722 Left heart catheterization
3723 Catheterization of both sides of the heart
3844 Abdominal aortic replacement
387 Vena cava filter
3891 Arterial line
3893 Venous catheter
3897 Central venous catheter, image guided
3961 Cardiopulmonary bypass
3971 Endovascular graft of the abdominal aorta
3995 Hemodialysis
4311 Gastrostomy, endoscopic
4443 Endoscopic control of stomach bleeding
4513 Small bowel endoscopy
4516 Upper endoscopy with biopsy
4523 Colonoscopy
4562 Partial small bowel removal
4573 Right colectomy
4575 Left colectomy
4576 Sigmoid colectomy
5123 Gallbladder removal, laparoscopic
5185 Endoscopic sphincterotomy
5187 Bile duct stent
5459 Division of abdominal adhesions
5491 Paracentesis
640 Circumcision
7935 Open fixation of the femur
8151 Hip replacement, total
8152 Hip replacement, partial
8703 Head CT
8856 Coronary angiography, two catheters
8872 Echocardiogram
8914 EEG
9390 Non-invasive ventilation
9462 Alcohol detoxification
9604 Endotracheal intubation
9607 Stomach tube
9633 Stomach lavage
966 Tube feeding
9671 Mechanical ventilation, under 96 hours
9672 Mechanical ventilation, 96 hours or more
9904 Red cell transfusion
9905 Platelet transfusion
9907 Plasma transfusion
9910 Thrombolytic injection
9915 Nutrition by vein
9917 Insulin injection
9925 Chemotherapy
9955 Vaccination
9960 Resuscitation
9983 Phototherapy
""")
