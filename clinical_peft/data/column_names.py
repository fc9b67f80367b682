"""Which of a file's columns or keys a message may name.

A file without a header begins with data, and the keys of a JSON line may be ids or words of a note: only names that
stand here, or that the reader asked for, are ever printed. All others are counted.
"""

from collections.abc import Iterable, Sequence

# Columns of the tables of MIMIC-III and MIMIC-IV that are read, and of the tables of notes and cohorts made of them.
_OWN = """
row_id subject_id hadm_id icustay_id stay_id caregiver_id cgid note_id note_type note_seq seq_num itemid
charttime chartdate storetime admittime dischtime deathtime edregtime edouttime intime outtime starttime endtime
category description iserror text admission_type admission_location discharge_location insurance language religion
marital_status ethnicity race diagnosis hospital_expire_flag has_chartevents_data admit_provider_id
gender dob dod dod_hosp dod_ssn expire_flag anchor_age anchor_year anchor_year_group
icd9_code icd10_code icd_code icd_version short_title long_title
dbsource first_careunit last_careunit first_wardid last_wardid los
value valuenum valueuom warning error resultstatus stopped statusdescription
location locationcategory orderid linkorderid ordercategoryname secondaryordercategoryname ordercategorydescription
patientweight isopenbag continueinnextdept cancelreason comments_editedby comments_canceledby comments_date
originalamount originalrate
label linksto abbreviation unitname param_type conceptid
kind split scores logits in_subset
"""
# Names that notes, ids and labels have elsewhere.
_SYNONYMS = """
id idx index uid uuid key patient patient_id patientid pat_id pid subject subjectid person_id mrn
admission admission_id admissionid visit_id encounter encounter_id case_id stay
note noteid note_text notetext notes body content document document_id doc doc_id report txt transcription transcript
summary title type sex age date time timestamp created_at chart_date chart_time storedate
outcome target label class labels y fold set report_id admitted
site hospital facility center centre
"""
KNOWN = frozenset(f"{_OWN} {_SYNONYMS}".split())


def known_names(found: Iterable[str], asked: Iterable[str] = ()) -> list[str]:
    """Return the names that may be printed, in their order, without spaces around them.

    Args:
        found: Names of columns or keys, as they stand in a file.
        asked: Names that a study or this package asked for.
    """
    printable = KNOWN | {name.strip().lower() for name in asked}
    return [name.strip() for name in found if name.strip().lower() in printable]


def describe_names(found: Sequence[str], asked: Iterable[str], what: str = "columns") -> str:
    """List which columns or keys a file has, naming those that may be named and counting the others.

    Args:
        found: Their names, as they stand in the file.
        asked: Names that a study or this package asked for.
        what: What they are, in the plural.
    """
    known = known_names(found, asked)
    number = len(found) - len(known)
    others = f"{number} {what if number != 1 else what.removesuffix('s')} of other names"
    if not known:
        return others
    return ", ".join(known) + (f" and {others}" if number else "")
