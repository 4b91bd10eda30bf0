"""One model on several boards at once. Needs the package distributed (Dask): ``pip install 'pynq-qsnn[boards]'``.

>>> result = evaluate("digits.qprog", frames, boards=["192.168.2.99", "192.168.2.98"])      # doctest: +SKIP
>>> result.logits.argmax(axis=1)                                                            # doctest: +SKIP
"""

from ..errors import BoardsLost
from .evaluation import evaluate
from .result import BoardReport, ChunkRecord, EvaluationResult

__all__ = ["BoardReport", "BoardsLost", "ChunkRecord", "EvaluationResult", "evaluate"]
