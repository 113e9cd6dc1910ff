"""X3D extractors for vidcore."""
