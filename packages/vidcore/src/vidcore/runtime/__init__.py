"""Faster ways to run an extractor, verified against the plain one."""
