"""SlowFast, Slow and C2D extractors for vidcore."""
