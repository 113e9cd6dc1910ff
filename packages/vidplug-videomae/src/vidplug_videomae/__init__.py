"""VideoMAE extractors for vidcore."""
