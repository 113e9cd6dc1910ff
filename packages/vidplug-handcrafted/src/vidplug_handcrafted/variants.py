"""Names of the forensic features, in the order of their channels. Cold."""

from __future__ import annotations

NOISE = (
    "noise_std",
    "noise_mean_abs",
    "noise_skewness",
    "noise_kurtosis",
    "noise_correlation_rows",
    "noise_correlation_columns",
    "noise_unevenness",
)
BANDS = {"low": (1, 4), "middle": (5, 8), "high": (9, 14)}
"""Bands of the 8x8 DCT by the sum of the two frequency indices, both ends included; 0 is the mean of the block."""
DCT = (
    "dct_mean_std",
    *(f"dct_{band}_{what}" for band in BANDS for what in ("mean_abs", "std", "kurtosis", "zeros")),
    "dct_high_share",
)
SHARPNESS = ("log_laplacian_variance", "log_laplacian_mean_abs", "sobel_mean", "log_tenengrad", "log_brenner")
BLOCKS = ("block_rows", "block_columns", "block_any_phase_rows", "block_any_phase_columns", "block_unevenness")

FRAME_FEATURES: tuple[str, ...] = (*NOISE, *DCT, *SHARPNESS, *BLOCKS)
POOLED_FEATURES: tuple[str, ...] = (
    *(f"mean_{name}" for name in FRAME_FEATURES),
    *(f"std_{name}" for name in FRAME_FEATURES),
)
