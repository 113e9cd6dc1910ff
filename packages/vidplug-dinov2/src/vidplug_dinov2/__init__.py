"""DINOv2 and DINOv3 frame-wise extractors for vidcore."""
