"""Table 3 of the paper: every model of the main comparison on every task."""

from clinical_peft.tables.downstream import downstream_table

TABLE = downstream_table("downstream_main", "main", place=3, number=3)
