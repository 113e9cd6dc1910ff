"""Open-MAGVIT2 video tokenizer extractors for vidcore."""
