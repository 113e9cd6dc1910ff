"""The extraction engine: videos in, stored features out."""
