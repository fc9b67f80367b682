"""Item ids and values of MIMIC-III that tell of mechanical ventilation, as in mimic-code's ``ventdurations``."""

# Any value of these settings shows a ventilator.
VENTILATOR_SETTINGS = frozenset(
    {
        223849,  # ventilator mode
        *(445, 448, 449, 450, 1340, 1486, 1600, 224687),  # minute volume
        *(639, 654, 681, 682, 683, 684, 224684, 224685, 224686),  # tidal volume
        *(218, 436, 444, 535, 224695, 224696, 224697, 224746, 224747),  # inspiratory pressures
        *(221, 1, 1211, 1655, 2000, 226873, 224738, 224419, 224750, 227187),  # inspiratory times and ratios
        543,  # plateau pressure
        *(5865, 5866, 224705, 224706, 224707, 224709),  # airway pressure release
        *(60, 437, 505, 506, 686, 220339, 224700),  # end-expiratory pressure
        3459,  # high pressure relief
        *(501, 502, 503, 224702),  # pressure-controlled
        *(223, 667, 668, 669, 670, 671, 672),  # time-cycled, pressure-controlled
        224701,  # pressure support
    }
)
# Any value but this one.
VENTILATOR_EXCLUDED_VALUES = {720: "Other/Remarks", 223848: "Other"}
# These values only; the database has blanks after some of them.
VENTILATOR_VALUES = {467: frozenset({"Ventilator"})}
OXYGEN_VALUES = {
    226732: frozenset(
        {
            "Nasal cannula",
            "Face tent",
            "Aerosol-cool",
            "Trach mask",
            "High flow neb",
            "Non-rebreather",
            "Venti mask",
            "Medium conc mask",
            "T-piece",
            "High flow nasal cannula",
            "Ultrasonic neb",
            "Vapomist",
        }
    ),
    467: frozenset(
        {
            "Cannula",
            "Nasal Cannula",
            "Face Tent",
            "Aerosol-Cool",
            "Trach Mask",
            "Hi Flow Neb",
            "Non-Rebreather",
            "Venti Mask",
            "Medium Conc Mask",
            "Vapotherm",
            "T-Piece",
            "Hood",
            "Hut",
            "TranstrachealCat",
            "Heated Neb",
            "Ultrasonic Neb",
        }
    ),
}
EXTUBATION_VALUES = {640: frozenset({"Extubated", "Self Extubation"})}

EXTUBATION_PROCEDURES = frozenset({227194, 225468, 225477})
# By the patient. The concept tells these apart, so that they are not one event with another extubation.
SELF_EXTUBATION_VALUES = {640: frozenset({"Self Extubation"})}
SELF_EXTUBATION_PROCEDURE = 225468
