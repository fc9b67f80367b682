"""Checking that a backward pass reaches every trained parameter and no other."""

from collections.abc import Collection

from torch import Tensor, nn

from clinical_peft.errors import TrainingError

# Of the experts of a layer, tokens reach a few; a short text leaves some without any.
ROUTED = ".experts."


def check_reached(network: nn.Module, loss: Tensor, *, expected: Collection[str]) -> None:
    """Run a backward pass and check that gradients reach exactly the parameters of some names.

    Args:
        network: The network; its gradients are reset afterwards.
        loss: Scalar loss of a forward pass.
        expected: Names as in `network.named_parameters()`. Those of one expert among several need not be reached.

    Raises:
        TrainingError: A parameter has a gradient that should have none, or the reverse.
    """
    if loss.requires_grad:
        loss.backward()
    reached = {name for name, value in network.named_parameters() if value.grad is not None}
    network.zero_grad(set_to_none=True)
    wrong = sorted(name for name in reached ^ set(expected) if name in reached or ROUTED not in name)
    if wrong:
        raise TrainingError(
            f"{len(wrong)} parameters are trained that should not be, or the reverse, for instance {wrong[0]}; "
            "the installed versions of peft or transformers treat adapters differently, or the base computes its loss "
            "without the layer that the adapter changes: choose other target_modules"
        )
