"""Items of MIMIC-IV that tell how a patient is ventilated, as in mimic-code's concept ``ventilation`` of July 2026."""

OXYGEN_DEVICE = 226732
VENTILATOR_MODE = 223849
HAMILTON_MODE = 229314
ITEMS = (VENTILATOR_MODE, OXYGEN_DEVICE, HAMILTON_MODE)
OXYGEN_FLOWS = (223834, 227582, 227287)  # of a device, of a BiPAP mask, additional
SLOTS = 4  # devices of one time that the concept ``oxygen_delivery`` keeps

INVASIVE = "InvasiveVent"
# In order of rising precedence: of several charted at one time the last counts.
STATUSES = ("None", "SupplementalOxygen", "HFNC", "NonInvasiveVent", INVASIVE, "Tracheostomy")
STATUS_OF_ANY_SLOT = ("NonInvasiveVent",)  # shown by a device in any of the four; others by the first alone

# Charted value -> status; the database has blanks after some. A value that is not listed tells nothing.
_DEVICES = {
    "Tracheostomy": ("Tracheostomy tube", "Trach mask"),
    INVASIVE: ("Endotracheal tube",),
    "NonInvasiveVent": ("Bipap mask", "CPAP mask"),
    "HFNC": ("High flow nasal cannula",),
    "SupplementalOxygen": (
        *("Non-rebreather", "Face tent", "Aerosol-cool", "Venti mask", "Medium conc mask", "Ultrasonic neb"),
        *("Vapomist", "Oxymizer", "High flow neb", "Nasal cannula"),
    ),
    "None": ("None",),
}
_MODES = {
    INVASIVE: (
        *("(S) CMV", "APRV", "APRV/Biphasic+ApnPress", "APRV/Biphasic+ApnVol", "APV (cmv)", "Ambient"),
        *("Apnea Ventilation", "CMV", "CMV/ASSIST", "CMV/ASSIST/AutoFlow", "CMV/AutoFlow"),
        *("CPAP/PPS", "CPAP/PSV", "CPAP/PSV+Apn TCPL", "CPAP/PSV+ApnPres", "CPAP/PSV+ApnVol"),
        *("MMV", "MMV/AutoFlow", "MMV/PSV", "MMV/PSV/AutoFlow", "P-CMV", "PCV+", "PCV+/PSV", "PCV+Assist"),
        *("PRES/AC", "PRVC/AC", "PRVC/SIMV", "PSV/SBT", "SIMV", "SIMV/AutoFlow", "SIMV/PRES", "SIMV/PSV"),
        *("SIMV/PSV/AutoFlow", "SIMV/VOL", "SYNCHRON MASTER", "SYNCHRON SLAVE", "VOL/AC"),
    ),
}
_HAMILTON_MODES = {
    INVASIVE: ("APRV", "APV (cmv)", "Ambient", "(S) CMV", "P-CMV", "SIMV", "APV (simv)", "P-SIMV", "VS", "ASV"),
    "NonInvasiveVent": ("DuoPaP", "NIV", "NIV-ST"),
}
STATUS_OF = {
    (item, value): status
    for item, values_of in ((OXYGEN_DEVICE, _DEVICES), (VENTILATOR_MODE, _MODES), (HAMILTON_MODE, _HAMILTON_MODES))
    for status, values in values_of.items()
    for value in values
}
