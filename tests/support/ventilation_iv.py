"""Charts of ventilation in MIMIC-IV, and the periods found in them."""

import pandas as pd
from mimic_iv_tables import START, stamp, write, write_admissions, write_chart

from clinical_peft.sources.mimic_iv.ventilation import find_periods

CHARTED = "stay_id,charttime,storetime,itemid,value"
DEVICE, MODE, HAMILTON, PEEP, FLOW = 226732, 223849, 229314, 220339, 223834
HOUR = 3600
INVASIVE, OXYGEN, TRACHEOSTOMY, NONINVASIVE = "InvasiveVent", "SupplementalOxygen", "Tracheostomy", "NonInvasiveVent"


def found(folder, **options) -> list[tuple[int, float, float, str]]:
    start = pd.Timestamp(START)
    return [
        (row.stay_id, (row.starttime - start).total_seconds() / HOUR, (row.endtime - start).total_seconds() / HOUR,
         row.status)
        for row in _periods(folder, **options).itertuples()
    ]  # fmt: skip


def _periods(folder, **options) -> pd.DataFrame:
    """Periods, which are the same whether rows are divided by stay on disk or not."""
    periods, _ = find_periods(folder, **options)
    pd.testing.assert_frame_equal(find_periods(folder, folder / "work", **options)[0], periods)
    assert not (folder / "work").exists()
    return periods


def icu(
    folder, stays: list[tuple], *, ages: dict[int, int] | None = None, codes: dict[int, tuple[str, int]] | None = None
):
    """Stays (stay_id, hadm_id, hours until ICU, days ventilated from the first hour on), a patient per admission."""
    write_admissions(folder, {hadm_id: hadm_id + 5 for _, hadm_id, _, _ in stays}, ages=ages)
    rows = [[hadm_id + 5, hadm_id, stay, stamp(hours)] for stay, hadm_id, hours, _ in stays]
    write(folder, "icu/icustays", "subject_id,hadm_id,stay_id,intime", rows)
    rows = [[h + 5, h, 1, code, version] for h, (code, version) in (codes or {}).items()]
    write(folder, "hosp/diagnoses_icd", "subject_id,hadm_id,seq_num,icd_code,icd_version", rows)
    charted = []
    for stay, _, hours, days in stays:
        steps = [hours + 1 + 12 * step for step in range(int(2 * days) + 1)]
        charted += [(stay, at, MODE, "CMV") for at in [*steps, hours + 1 + 24 * days]]
    write_chart(folder, charted)
    return folder
