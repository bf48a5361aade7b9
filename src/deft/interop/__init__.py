"""Adapters between this library and others that solve inverse problems."""
