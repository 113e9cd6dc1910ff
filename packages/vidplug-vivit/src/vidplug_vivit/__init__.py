"""ViViT extractors (joint and factorised causal) for vidcore."""
