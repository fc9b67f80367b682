"""Table 4 of the paper: encoders with LoRA on every task."""

from clinical_peft.tables.downstream import downstream_table

TABLE = downstream_table("downstream_lora_baselines", "lora_baselines", place=4, number=4)
