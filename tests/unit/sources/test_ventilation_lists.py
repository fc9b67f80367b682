"""The items, values and codes that make ventilation and its cohort, each against a list written here.

The lists are those of mimic-code (`ventilation_classification` of MIMIC-III, `ventilation` of MIMIC-IV) and of the
cohort of Clinical XLNet, copied by hand, so that an item lost in the library is missed here.
"""

import pytest
from mimic_iv_tables import write_chart
from ventilation_iii import EVENT, OXYGEN, PEEP, charted_hospital, hours_of
from ventilation_iii import icu as icu_of_mimic_iii
from ventilation_iv import DEVICE, HAMILTON, MODE, found, icu

from clinical_peft.data.attrition import Attrition
from clinical_peft.sources.mimic_iii import ventilation_items
from clinical_peft.sources.mimic_iii.prolonged_ventilation import ventilated_admissions
from clinical_peft.sources.mimic_iii.ventilation import find_episodes
from clinical_peft.sources.mimic_iv.outcomes import MimicIV
from clinical_peft.sources.mimic_iv.ventilation_items import STATUS_OF

SETTINGS = """
223849 445 448 449 450 1340 1486 1600 224687 639 654 681 682 683 684 224684 224685 224686 218 436 535 444 224695 224696
224697 224746 224747 221 1 1211 1655 2000 226873 224738 224419 224750 227187 543 5865 5866 224705 224706 224707 224709
60 437 505 506 686 220339 224700 3459 501 502 503 224702 223 667 668 669 670 671 672 224701
"""
DEVICE_METAVISION = 226732
DEVICES_CAREVUE = [
    "Cannula", "Nasal Cannula", "Face Tent", "Aerosol-Cool", "Trach Mask", "Hi Flow Neb", "Non-Rebreather",
    "Venti Mask", "Medium Conc Mask", "Vapotherm", "T-Piece", "Hood", "Hut", "TranstrachealCat", "Heated Neb",
    "Ultrasonic Neb",
]  # fmt: skip
DEVICES_METAVISION = [
    "Nasal cannula", "Face tent", "Aerosol-cool", "Trach mask ", "High flow neb", "Non-rebreather", "Venti mask ",
    "Medium conc mask ", "T-piece", "High flow nasal cannula", "Ultrasonic neb", "Vapomist",
]  # fmt: skip
STATUSES = {
    "Tracheostomy": {DEVICE: ["Tracheostomy tube", "Trach mask "]},
    "InvasiveVent": {
        DEVICE: ["Endotracheal tube"],
        MODE: [
            "(S) CMV", "APRV", "APRV/Biphasic+ApnPress", "APRV/Biphasic+ApnVol", "APV (cmv)", "Ambient",
            "Apnea Ventilation", "CMV", "CMV/ASSIST", "CMV/ASSIST/AutoFlow", "CMV/AutoFlow", "CPAP/PPS", "CPAP/PSV",
            "CPAP/PSV+Apn TCPL", "CPAP/PSV+ApnPres", "CPAP/PSV+ApnVol", "MMV", "MMV/AutoFlow", "MMV/PSV",
            "MMV/PSV/AutoFlow", "P-CMV", "PCV+", "PCV+/PSV", "PCV+Assist", "PRES/AC", "PRVC/AC", "PRVC/SIMV", "PSV/SBT",
            "SIMV", "SIMV/AutoFlow", "SIMV/PRES", "SIMV/PSV", "SIMV/PSV/AutoFlow", "SIMV/VOL", "SYNCHRON MASTER",
            "SYNCHRON SLAVE", "VOL/AC",
        ],
        HAMILTON: [
            "APRV", "APV (cmv)", "Ambient", "(S) CMV", "P-CMV", "SIMV", "APV (simv)", "P-SIMV", "VS", "ASV",
        ],
    },
    "NonInvasiveVent": {DEVICE: ["Bipap mask ", "CPAP mask "], HAMILTON: ["DuoPaP", "NIV", "NIV-ST"]},
    "HFNC": {DEVICE: ["High flow nasal cannula"]},
    "SupplementalOxygen": {
        DEVICE: [
            "Non-rebreather", "Face tent", "Aerosol-cool", "Venti mask ", "Medium conc mask ", "Ultrasonic neb",
            "Vapomist", "Oxymizer", "High flow neb", "Nasal cannula",
        ]
    },
    "None": {DEVICE: ["None"]},
}  # fmt: skip
EXPECTED_STATUS = [
    (item, value, status) for status, items in STATUSES.items() for item, values in items.items() for value in values
]
EXCLUDED = {
    9: [*(f"14{digit}0" for digit in range(10)), "3589", "3590", "3591", "35801", "9400", "9409", "94100", "94159",
        "94830", "94899", "V590", "V598"],
    10: ["C000", "C059", "C09", "C108", "C139", "C148", "G7001", "G709", "G7100", "G712", "T2000XA", "T2679XA",
         "T3130", "T3199", "T3230", "T3299", "Z524"],
}  # fmt: skip
KEPT = {
    9: ["1399", "1500", "3580", "35800", "3592", "9392", "9420", "9479", "94800", "94829", "9490", "V588", "V600"],
    10: ["C153", "C760", "G7000", "G711", "G713", "T1990XA", "T2100XA", "T2500XA", "T2700XA", "T3120", "T3220", "Z510"],
}


ENDING = [
    *((OXYGEN, value) for value in DEVICES_CAREVUE),
    *((DEVICE_METAVISION, value) for value in DEVICES_METAVISION),
    *((EVENT, value) for value in ("Extubated", "Self Extubation")),
]
NOT_ENDING = [
    (OXYGEN, "None"), (OXYGEN, "Other"), (OXYGEN, "Nasal cannula"), (OXYGEN, "T-piece"), (OXYGEN, "Trach mask "),
    (DEVICE_METAVISION, "None"), (DEVICE_METAVISION, "Endotracheal tube"), (DEVICE_METAVISION, "Bipap mask "),
    (EVENT, "Intubated"), (468, "Hood"), (469, "Hood"), (470, "5"), (223834, "5"), (227287, "5"),
]  # fmt: skip
PROCEDURES = {227194: True, 225468: True, 225477: True, 225792: False, 224385: False}
SHOWING = {
    (720, "CMV"): True, (720, "Other/Remarks"): False, (720, "Other"): True,
    (223848, "Drager"): True, (223848, "Other"): False, (223848, "Other/Remarks"): True,
    (467, "Ventilator"): True, (467, "ventilator"): False, (467, "None"): False,
    (459, "5"): False, (468, "Ventilator"): False, (226732, "Ventilator"): False,
} | {(int(item), "x"): True for item in SETTINGS.split()}  # fmt: skip
CODES = [(code, version) for lists in (EXCLUDED, KEPT) for version in (9, 10) for code in lists[version]]


def episodes_of_stays(folder, charted, procedures=()) -> dict[int, list[tuple[float, float]]]:
    episodes: dict[int, list[tuple[float, float]]] = {}
    for stay, start, end in hours_of(find_episodes(charted_hospital(folder, charted, procedures))[0]):
        episodes.setdefault(stay, []).append((start, end))
    return episodes


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The values that show a ventilator, each in a stay of its own."""
    charted = [(stay, hours, *key) for stay, key in enumerate(SHOWING) for hours in (0, 1)]
    found = episodes_of_stays(tmp_path_factory.mktemp("showing"), charted)
    assert all(episodes == [(0, 1)] for episodes in found.values())
    return {key for stay, key in enumerate(SHOWING) if stay in found}


@pytest.mark.parametrize(("item", "value"), SHOWING)
def test_what_shows_a_ventilator(shown, item, value):
    assert ((item, value) in shown) == SHOWING[item, value]


def test_no_other_setting_does():
    assert {str(item) for item in ventilation_items.VENTILATOR_SETTINGS} == {*SETTINGS.split()}


@pytest.fixture(scope="module")
def ending(tmp_path_factory):
    """What parts, two hours after the first setting, an episode from the settings that follow."""
    events = [*ENDING, *NOT_ENDING, *PROCEDURES]
    charted = [(stay, hours, PEEP, "5") for stay in range(len(events)) for hours in (0, 1, 3, 4)]
    charted += [(stay, 2, *event) for stay, event in enumerate(events) if event not in PROCEDURES]
    procedures = [(stay, 2, 2, event) for stay, event in enumerate(events) if event in PROCEDURES]
    found = episodes_of_stays(tmp_path_factory.mktemp("ending"), charted, procedures)
    return {event for stay, event in enumerate(events) if found[stay] != [(0, 4)]}


@pytest.mark.parametrize(("item", "value"), [*ENDING, *NOT_ENDING])
def test_oxygen_and_extubation_alone_end_an_episode(ending, item, value):
    assert ((item, value) in ending) == ((item, value) in ENDING)


@pytest.mark.parametrize("item", PROCEDURES)
def test_procedures_that_are_extubations_end_an_episode(ending, item):
    assert (item in ending) == PROCEDURES[item]


@pytest.fixture(scope="module")
def statuses(tmp_path_factory):
    """The status of each listed value of MIMIC-IV."""
    folder = tmp_path_factory.mktemp("statuses")
    write_chart(folder, [(n, hours, *row[:2]) for n, row in enumerate(EXPECTED_STATUS) for hours in (0, 1)])
    return {EXPECTED_STATUS[stay][:2]: status for stay, _, _, status in found(folder)}


@pytest.mark.parametrize(("item", "value", "status"), EXPECTED_STATUS)
def test_a_listed_value_of_mimic_iv_gives_its_status(statuses, item, value, status):
    assert statuses.get((item, value)) == status


def test_no_other_value_of_mimic_iv_does():
    assert {(item, value.strip()): status for item, value, status in EXPECTED_STATUS} == STATUS_OF
    assert len(EXPECTED_STATUS) == 2 + 1 + 37 + 10 + 2 + 3 + 1 + 10 + 1


def test_a_row_that_is_charted_twice_changes_no_period(tmp_path):
    charted = [(1, 0, MODE, "CMV"), (1, 5, MODE, "CMV"), (1, 6, DEVICE, "Nasal cannula"), (1, 7, DEVICE, "Face tent")]
    write_chart(tmp_path, charted)
    once = found(tmp_path)
    write_chart(tmp_path, [row for row in charted for _ in range(2)])
    assert found(tmp_path) == once == [(1, 0, 6, "InvasiveVent"), (1, 6, 7, "SupplementalOxygen")]


@pytest.fixture(scope="module")
def excluded(tmp_path_factory):
    """The codes that keep an admission out of the cohort, of MIMIC-III (version 3) and of MIMIC-IV."""
    stays = [(place + 1, place + 1, 0, 3) for place in range(len(CODES) + 1)]  # the last one has no diagnosis
    codes = dict(enumerate(CODES, start=1))
    folder = tmp_path_factory.mktemp("mimic-iv")
    kept_iv = {*MimicIV(icu(folder, stays, codes=codes)).ventilated(Attrition())["hadm_id"]}
    of_9 = {admission: code for admission, (code, version) in codes.items() if version == 9}
    folder = icu_of_mimic_iii(tmp_path_factory.mktemp("mimic-iii"), stays, codes=of_9)
    kept_iii = {*ventilated_admissions(folder, find_episodes(folder)[0], Attrition())["hadm_id"]}
    found = {code for admission, code in codes.items() if admission not in kept_iv}
    return found | {(code, 3) for admission, code in of_9.items() if admission not in kept_iii}


@pytest.mark.parametrize(("code", "version"), CODES)
def test_excluding_diagnoses(excluded, code, version):
    assert ((code, version) in excluded) == (code in EXCLUDED[version])
    if version == 9:
        assert ((code, 3) in excluded) == (code in EXCLUDED[9])
