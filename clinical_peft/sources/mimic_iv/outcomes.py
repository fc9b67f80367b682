"""The outcomes of MIMIC-IV."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from clinical_peft.data.admissions import read_admissions
from clinical_peft.data.attrition import ICU_STAYS, Attrition
from clinical_peft.data.consistency import read_keyed_table
from clinical_peft.data.prolonged_ventilation import EXCLUDED_ICD9, long_ventilation
from clinical_peft.data.tables import INTEGER, TIME
from clinical_peft.data.ventilation_table import read_intervals
from clinical_peft.errors import ConfigError
from clinical_peft.sources.mimic_iv.codes import IcdCoding, code_groups, read_codes
from clinical_peft.sources.mimic_iv.patients import adult_admissions
from clinical_peft.sources.mimic_iv.ventilation import find_periods
from clinical_peft.sources.mimic_iv.ventilation_items import INVASIVE
from clinical_peft.tasks.diagnoses import DIAGNOSIS_CODES

# ICD-10-CM prefixes of the diagnoses that `EXCLUDED_ICD9` names.
EXCLUDED_ICD10 = (
    r"C0\d|C1[0-4]"  # malignant neoplasm of lip, mouth and pharynx
    r"|G7001|G709|G71[02]"  # neuromuscular disease
    r"|T20|T26|T3[12][3-9]"  # burns of the eye, face, head and neck, or of 30 % and more of the body
    r"|Z52"  # donors
)


@dataclass(frozen=True)
class MimicIV:
    """The outcomes of MIMIC-IV; see `clinical_peft.data.outcomes.Outcomes`.

    Attributes:
        folder: Folder with the tables of the task.
        ventilation: What `write_intervals` wrote, for pmv; derived anew when None.
        coding: What becomes of the two versions of the ICD in the multilabel tasks.
        ventilation_adjusted: As for `find_periods`, where periods are derived anew.
    """

    folder: Path
    ventilation: Path | None = None
    coding: IcdCoding = field(default_factory=IcdCoding)
    ventilation_adjusted: bool = False

    def admissions(self, *, times: bool = False) -> pd.DataFrame:
        """See `Outcomes`."""
        return read_admissions(self.folder, times=times)

    def codes(self, task: str, switches: Mapping[str, bool], attrition: Attrition) -> pd.DataFrame:
        """See `Outcomes`; procedure codes are strings whatever the switches say."""
        return code_groups(self.folder, task, self.coding, switches, attrition)

    def ventilated(self, attrition: Attrition) -> pd.DataFrame:
        """See `Outcomes`; invasive ventilation of adults, without a condition on notes."""
        stays = self._adult_stays(attrition)
        periods = (
            read_intervals(self.ventilation)
            if self.ventilation
            else find_periods(self.folder, adjusted=self.ventilation_adjusted)[0]
        )
        codes = read_codes(self.folder, DIAGNOSIS_CODES).dropna(subset=["code"])
        is_9 = codes["version"] == 9
        excluded = (is_9 & codes["code"].str.match(EXCLUDED_ICD9)) | (~is_9 & codes["code"].str.match(EXCLUDED_ICD10))
        return long_ventilation(stays, codes["hadm_id"][excluded], periods[periods["status"] == INVASIVE], attrition)

    def ventilated_by_list(self, attrition: Attrition) -> tuple[pd.DataFrame, Mapping[int, str]]:
        """Raise a ConfigError: the published list is of MIMIC-III."""
        raise ConfigError("data.pmv_split: beep lists admissions of MIMIC-III; choose another with cohorts of mimic-iv")

    def _adult_stays(self, attrition: Attrition) -> pd.DataFrame:
        columns = {"stay_id": INTEGER, "subject_id": INTEGER, "hadm_id": INTEGER, "intime": TIME}
        table = read_keyed_table(self.folder, "icustays", columns)
        stays = attrition.record("rows of icustays", table, unit=ICU_STAYS)
        stays = stays.dropna().astype({"subject_id": "int64", "hadm_id": "int64", "stay_id": "int64"})
        stays = stays[stays["hadm_id"].isin(adult_admissions(self.folder)["hadm_id"])]
        return attrition.record("of adults", stays, unit=ICU_STAYS)
