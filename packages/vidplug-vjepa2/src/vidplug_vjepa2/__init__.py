"""V-JEPA 2 extractors for vidcore."""
