"""Stage 5: the winner is trained as a stand-alone classifier, starting from its supernet weights, and tested.

If ``train.compare`` asks for it, the winner and other networks are trained alike first (:mod:`.compare`).
"""

from __future__ import annotations

from typing import Any

import timm
import torch

from pinas_zoo.search.context import Context
from pinas_zoo.search.stages.compare import compare
from pinas_zoo.search.stages.network_folder import check_network, save_network
from pinas_zoo.search.stages.result import StageResult
from pinas_zoo.search.stages.stand_alone_training import by_table, train_alone


def train(context: Context) -> StageResult | None:
    """Train the winner on all training images, test it, and save it as the model folder ``trained``.

    The comparison comes first, because each of its trainings is marked when it is complete; a run that is stopped
    resumes in the training that it was in.

    Returns:
        The result of the stage; None in processes other than the first.
    """
    options, folder = context.config.train, context.folder / "train"
    arch = context.explored_winner()
    check_network(context, "winner", arch)
    compared = compare(context, arch)
    torch.manual_seed(context.config.seed)
    model: Any = timm.create_model(f"local-dir:{context.folder / 'winner'}", pretrained=True)
    # the high learning rate of linear evaluation leaves classifier weights that are too large for fine-tuning
    model.reset_classifier(context.splits.num_classes)
    how = by_table(context, options, context.config.seed)
    trained = train_alone(context, model, how, folder, "train", "train.lr")
    if trained is None:
        return None
    value = trained.facts["top1"]
    save_network(context, "trained", arch, trained.state_dict, {"test_accuracy": value})
    start = "stand-alone" if context.supernet is None else "from the supernet's weights"
    summary = f"{options.epochs} epochs {start}, test accuracy {value:.1%}"
    facts: dict[str, Any] = {"test_accuracy": value}
    seconds = trained.seconds
    if compared is not None:
        summary += f". {compared.summary}"
        facts["comparison"] = compared.facts
        seconds += compared.seconds
    return StageResult(summary, seconds, facts)
