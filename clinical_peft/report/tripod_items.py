"""The items of TRIPOD+AI in our own short words (Collins et al. 2024, BMJ 385:e078378), and who answers each.

`evidence` names the function of `clinical_peft.report.checklist` that fills an item from the run; without one the
authors answer it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        number: As in the statement.
        section: Part of the article.
        asks: What has to be reported.
        evidence: What fills it from a run, or None.
        open: What is left to the authors even so.
        is_of_mimic: Whether `open` is true of MIMIC alone.
    """

    number: str
    section: str
    asks: str
    evidence: str | None = None
    open: str = ""
    is_of_mimic: bool = False


ITEMS = (
    Item("1", "Title", "Development or evaluation of a prediction model, its population and outcome"),
    Item("2", "Abstract", "A summary by the statement's list for abstracts"),
    Item("3a", "Introduction", "The healthcare context, and why the model is made or tested"),
    Item("3b", "Introduction", "Whom the model is for, its place in care and its users"),
    Item("3c", "Introduction", "Known inequalities in health between groups of patients"),
    Item("4", "Introduction", "The aims, and whether a model is developed, evaluated or both", "aims"),
    Item("5a", "Methods", "Sources of the data, why they were chosen and whom they represent", "sources", "why chosen"),
    Item(
        "5b",
        "Methods",
        "Dates of the data",
        None,
        "the releases shift dates; the span of years is in their papers",
        True,
    ),
    Item("6a", "Methods", "Setting: number and place of the hospitals", None, "one hospital in MIMIC", True),
    Item("6b", "Methods", "Who was eligible", "eligibility"),
    Item("6c", "Methods", "Treatments received, and how they were handled"),
    Item(
        "7", "Methods", "Preparation and checks of the data", "preparation", "whether alike in all groups of patients"
    ),
    Item("8a", "Methods", "The outcomes, when and how they were assessed", "outcomes", "why these outcomes"),
    Item("8b", "Methods", "Training of assessors, where an outcome needs judgement"),
    Item("8c", "Methods", "Blinding of the assessment of outcomes"),
    Item("9a", "Methods", "How predictors were chosen", "predictors"),
    Item("9b", "Methods", "Predictors, and when and how they were measured", "predictors"),
    Item("9c", "Methods", "Training of assessors, where a predictor needs judgement"),
    Item("10", "Methods", "How the size of the study came about", "sample_size", "a calculation, if there was one"),
    Item("11", "Methods", "Missing data", "missing"),
    Item("12a", "Methods", "How data were used: partition, and what each part was for", "partition"),
    Item("12b", "Methods", "How predictors were handled", "predictors"),
    Item("12c", "Methods", "Models, all steps of building them, tuning and internal validation", "models"),
    Item(
        "12d", "Methods", "Differences between hospitals or clusters", None, "one hospital: none can be estimated", True
    ),
    Item("12e", "Methods", "Measures and plots of performance, and how models were compared", "measures"),
    Item("12f", "Methods", "Updating of the model, such as recalibration", "updating"),
    Item("12g", "Methods", "How predictions were computed, for an evaluation", "predictions"),
    Item("13", "Methods", "Class imbalance and what was done about it", "imbalance"),
    Item("14", "Methods", "Approaches to fairness", "fairness"),
    Item("15", "Methods", "Output of the model, and thresholds", "output"),
    Item("16", "Methods", "Differences between data of development and evaluation", "differences"),
    Item("17", "Methods", "Ethical approval and consent"),
    Item("18a", "Open science", "Funding"),
    Item("18b", "Open science", "Conflicts of interest"),
    Item("18c", "Open science", "Where the protocol can be read", "protocol"),
    Item("18d", "Open science", "Registration"),
    Item("18e", "Open science", "Availability of the data", "data_access"),
    Item("18f", "Open science", "Availability of the code", "code"),
    Item("19", "Patients and public", "Involvement of patients and the public"),
    Item("20a", "Results", "Flow of participants", "flow"),
    Item("20b", "Results", "Characteristics of participants", "characteristics", "age, sex and illness of each cohort"),
    Item("20c", "Results", "Comparison of development and evaluation data", "differences"),
    Item("21", "Results", "Participants and events in each analysis", "events"),
    Item("22", "Results", "The model in full, so that others can predict with it", "specification"),
    Item("23a", "Results", "Performance with intervals, and in key groups", "performance"),
    Item(
        "23b",
        "Results",
        "Differences of performance between clusters",
        None,
        "one hospital: none can be estimated",
        True,
    ),
    Item("24", "Results", "Results of updating", "updating"),
    Item("25", "Discussion", "Interpretation, fairness included"),
    Item("26", "Discussion", "Limitations", "limitations", "those that the run does not know"),
    Item("27a", "Discussion", "What to do with poor or missing input"),
    Item("27b", "Discussion", "What users must do and know"),
    Item("27c", "Discussion", "Next steps, and where the model may apply"),
)
