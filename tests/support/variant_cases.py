"""The variants of a classifier, and the names of the parameters that each trains."""

from models_fixtures import ENCODER_LORA, TASK_LORA

from clinical_peft.methods.lora import Lora
from clinical_peft.recipes.variants import Variant

LORA_PLACES = [f"model.layers.{layer}.self_attn.{matrix}" for layer in (0, 1) for matrix in ("q_proj", "v_proj")]
BERT_PLACES = [f"bert.encoder.layer.{layer}.attention.self.{name}" for layer in (0, 1) for name in ("query", "value")]


def lora_names(adapter: str, places: list[str]) -> set[str]:
    return {f"{place}.lora_{side}.{adapter}.weight" for place in places for side in "AB"}


CLINICAL_LORA = lora_names("clinical", LORA_PLACES)
TASK_PARAMETERS = lora_names("task", LORA_PLACES) | {"score.modules_to_save.task.weight"}

# The variants of Table 3, the merged one, and the parameters that each trains.
CAUSAL = {
    "head": (Variant(family="causal"), {"score.weight"}),
    "task": (Variant(family="causal", task_method=TASK_LORA), TASK_PARAMETERS),
    "clinical-frozen": (Variant(family="causal", clinical="frozen"), {"score.weight"}),
    "clinical-frozen+task": (Variant(family="causal", clinical="frozen", task_method=TASK_LORA), TASK_PARAMETERS),
    "clinical-trainable": (Variant(family="causal", clinical="trainable"), CLINICAL_LORA | {"score.weight"}),
    "clinical-trainable+task": (
        Variant(family="causal", clinical="trainable", task_method=TASK_LORA),
        CLINICAL_LORA | TASK_PARAMETERS,
    ),
    "clinical-merged": (Variant(family="causal", clinical="merged"), {"score.weight"}),
    "clinical-merged+task": (Variant(family="causal", clinical="merged", task_method=TASK_LORA), TASK_PARAMETERS),
}
ENCODER = {
    "head": (Variant(family="encoder"), {"classifier.weight", "classifier.bias"}),
    "task": (
        Variant(family="encoder", task_method=ENCODER_LORA),
        lora_names("task", BERT_PLACES)
        | {"classifier.modules_to_save.task.weight", "classifier.modules_to_save.task.bias"},
    ),
}
TASK_DORA = Lora(r=4, alpha=8, dora=True)
TASK_RS = Lora(r=4, alpha=8, rank_stabilised=True)
DORA_PARAMETERS = TASK_PARAMETERS | {f"{place}.lora_magnitude_vector.task.weight" for place in LORA_PLACES}
CAUSAL |= {
    "task-dora": (Variant(family="causal", task_method=TASK_DORA), DORA_PARAMETERS),
    "task-rank-stabilised": (Variant(family="causal", task_method=TASK_RS), TASK_PARAMETERS),
    "clinical-merged+task-dora": (Variant(family="causal", clinical="merged", task_method=TASK_DORA), DORA_PARAMETERS),
    "clinical-trainable+task-rank-stabilised": (
        Variant(family="causal", clinical="trainable", task_method=TASK_RS),
        CLINICAL_LORA | TASK_PARAMETERS,
    ),
}
