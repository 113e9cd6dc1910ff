"""I3D extractors (ResNet-50 and Inception) for vidcore."""
