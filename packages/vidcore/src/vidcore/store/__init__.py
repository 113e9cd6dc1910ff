"""The feature store: features once computed, on disk."""
