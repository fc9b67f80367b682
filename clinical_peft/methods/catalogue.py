"""Methods that PEFT has and that need no code here: one entry each, with what can be done with it.

Fields and defaults come from PEFT's own configuration (`clinical_peft.methods.snapshot`). Every claim is proven on a
small decoder and a small encoder by `tests/unit/models/test_method_proofs.py`. A further method is an entry here, a
`make methods` and an entry of `tests/support/method_cases.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from clinical_peft.methods.method import Abilities

ADDED = Abilities(
    four_bits=False,
    classify=True,
    merge=True,
    retrain=True,
    precede=True,
    follow=True,
    adapt_task=True,
    adapt_encoder=True,
)
"""Abilities of a method whose adapters change the output of single layers, and may do so one after the other."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is true of a method, besides PEFT's fields.

    Attributes:
        title: Name for readers.
        reference: Who described it.
        start_at_zero: Parts of the names of its tensors that are zero before training.
        can: What can be done with it.
        positive: Whole numbers that must be at least 1; others must not be negative.
        any_sign: Whole numbers that may be negative.
        either: Two whole numbers of which one must be 0 and the other at least 1.
        within: A list of layers that must be some of another.
        divides: A whole number that must divide another.
        shared: Settings that two adapters in one network must have in common.
        refused: Fields that are no settings here, with the reason, besides `REFUSED`.
    """

    title: str
    reference: str
    start_at_zero: tuple[str, ...] = ()
    can: Abilities = ADDED
    positive: tuple[str, ...] = ("r",)
    any_sign: tuple[str, ...] = ()
    either: tuple[str, str] | None = None
    within: tuple[str, str] | None = None
    divides: tuple[str, str] | None = None
    shared: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


REFUSED = {
    "bias": "it would train biases of the base, which stay as they are",
    "fan_in_fan_out": "PEFT sets it by the kind of layer",
    "modules_to_save": "a classifier saves its head by itself, and nothing else of the base is trained",
    "save_projection": "projections are always saved, so that an adapter can be loaded with any version of PyTorch",
    "use_effective_conv2d": "it is for convolutions, which networks for text lack",
}
"""Fields that are no settings of any method, with the reason."""

CATALOGUE: dict[str, Claim] = {
    "ia3": Claim(
        title="IA3",
        reference="Liu et al. 2022",
        positive=(),
        within=("feedforward_modules", "target_modules"),
    ),
    "vera": Claim(
        title="VeRA",
        reference="Kopiczko et al. 2024",
        start_at_zero=("vera_lambda_b",),
        shared=("projection_prng_key",),
    ),
    "loha": Claim(title="LoHa", reference="Hyeon-Woo et al. 2022", start_at_zero=("hada_w2_b",)),
    "lokr": Claim(
        title="LoKr",
        reference="Yeh et al. 2024",
        start_at_zero=("lokr_w1",),
        any_sign=("decompose_factor",),
    ),
    "oft": Claim(
        title="OFT",
        reference="Qiu et al. 2023",
        start_at_zero=("oft_R",),
        positive=("num_cayley_neumann_terms",),
        either=("r", "oft_block_size"),
    ),
    "hra": Claim(title="HRA", reference="Yuan et al. 2024"),
    "fourierft": Claim(title="FourierFT", reference="Gao et al. 2024", positive=("n_frequency",)),
    "miss": Claim(title="MiSS", reference="Kang and Yin 2024", start_at_zero=("miss_block",), positive=("r", "mini_r")),
    "delora": Claim(title="DeLoRA", reference="Bini et al. 2025", start_at_zero=("delora_B",)),
    "hira": Claim(title="HiRA", reference="Huang et al. 2025", start_at_zero=("hira_B",)),
    "gralora": Claim(
        title="GraLoRA",
        reference="Jung et al. 2025",
        start_at_zero=("gralora_B",),
        positive=("r", "gralora_k"),
        divides=("gralora_k", "r"),
    ),
    "road": Claim(
        title="RoAd", reference="Liao and Monz 2024", start_at_zero=("road_theta",), positive=("group_size",)
    ),
    "ln_tuning": Claim(
        title="LayerNorm tuning",
        reference="Zhao et al. 2024",
        can=replace(ADDED, precede=False, follow=False),
        positive=(),
    ),
}
