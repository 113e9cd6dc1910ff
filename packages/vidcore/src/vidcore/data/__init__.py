"""Videos and targets: manifests, exact decoding, sampling, splits, inspection. Imports no model."""
