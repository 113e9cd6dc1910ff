"""Faster ways to run an extractor, verified against the plain one."""

from vidcore.runtime._accelerate import accelerate
from vidcore.runtime._candidates import RUNTIMES, Runtime
from vidcore.runtime._measure import TOLERANCE
from vidcore.runtime._onednn import OneDnnConvolutions
from vidcore.runtime.accelerated import Accelerated
from vidcore.runtime.report import CandidateReport, RuntimeReport

__all__ = [
    "RUNTIMES",
    "TOLERANCE",
    "Accelerated",
    "CandidateReport",
    "OneDnnConvolutions",
    "Runtime",
    "RuntimeReport",
    "accelerate",
]
