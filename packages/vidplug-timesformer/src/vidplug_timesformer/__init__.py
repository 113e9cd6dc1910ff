"""TimeSformer extractors for vidcore."""
