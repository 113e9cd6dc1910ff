"""Looking at trained models: evaluation on any data, comparison, plots, reports."""

from vidcore.analysis.compare import compare
from vidcore.analysis.comparison import Comparison
from vidcore.analysis.evaluate import Evaluation, evaluate
from vidcore.analysis.report import write_report

__all__ = ["Comparison", "Evaluation", "compare", "evaluate", "write_report"]
