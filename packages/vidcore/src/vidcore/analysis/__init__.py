"""Looking at trained models: evaluation on any data, plots, reports."""

from vidcore.analysis.evaluate import Evaluation, evaluate
from vidcore.analysis.report import write_report

__all__ = ["Evaluation", "evaluate", "write_report"]
