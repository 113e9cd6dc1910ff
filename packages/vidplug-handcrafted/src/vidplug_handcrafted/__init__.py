"""Handcrafted forensic features and fitted heads for vidcore."""
