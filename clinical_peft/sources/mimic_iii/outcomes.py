"""The outcomes of MIMIC-III."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinical_peft.data.admissions import read_admissions
from clinical_peft.data.attrition import Attrition
from clinical_peft.data.ventilation_table import read_intervals
from clinical_peft.errors import ConfigError
from clinical_peft.sources.mimic_iii.beep_labels import beep_admissions
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iii.prolonged_ventilation import ventilated_admissions, with_early_note
from clinical_peft.sources.mimic_iii.ventilation import find_episodes


@dataclass(frozen=True)
class MimicIII:
    """The outcomes of MIMIC-III; see `clinical_peft.data.outcomes.Outcomes`.

    Attributes:
        folder: Folder with the tables of the task.
        ventilation: What `write_intervals` wrote, for pmv; derived anew when None.
        pmv_labels: BEEP's label file.
    """

    folder: Path
    ventilation: Path | None = None
    pmv_labels: Path | None = None

    def admissions(self, *, times: bool = False) -> pd.DataFrame:
        """See `Outcomes`."""
        return read_admissions(self.folder, times=times)

    def codes(self, task: str, switches: Mapping[str, bool], attrition: Attrition) -> pd.DataFrame:
        """See `Outcomes`."""
        return code_table(task, self.folder, switches, attrition)

    def ventilated(self, attrition: Attrition) -> pd.DataFrame:
        """See `Outcomes`; a nursing or respiratory note in the first 48 hours of ventilation is asked for."""
        episodes = read_intervals(self.ventilation) if self.ventilation else find_episodes(self.folder)[0]
        labels = with_early_note(self.folder, ventilated_admissions(self.folder, episodes, attrition))
        return attrition.record("with a nursing or respiratory note within 48 hours", labels)

    def ventilated_by_list(self, attrition: Attrition) -> tuple[pd.DataFrame, Mapping[int, str]]:
        """See `Outcomes`; the list is BEEP's."""
        if self.pmv_labels is None:
            raise ConfigError("data.pmv_labels: expected the path of BEEP's label file, found none")
        return beep_admissions(self.pmv_labels, self.folder, attrition)
