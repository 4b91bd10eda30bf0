"""Losses of a network whose logits are a mean over time steps."""

from torch.nn import functional


def classification_loss(logits, targets, label_smoothing=0.0):
    """Cross-entropy of mean logits [B, classes], or of the logits of each step [T, B, classes].

    With a step axis it is the mean over the steps of each step's cross-entropy: L_TET of "Temporal Efficient Training"
    (arXiv 2202.11946, eq. 9) without its second term, the pull of all logits towards one value.
    targets: int64 classes [B], or shares of classes [B, classes].
    """
    if logits.ndim == 3:
        targets = targets.expand(len(logits), *targets.shape).flatten(0, 1)
        logits = logits.flatten(0, 1)
    return functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
