"""Every timm image backbone as a frame-wise extractor for vidcore."""
