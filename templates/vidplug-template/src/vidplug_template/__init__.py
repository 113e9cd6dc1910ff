"""Frame-difference 3D convolutions: a plugin to copy."""
