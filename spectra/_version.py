"""The version, where packaging and code both find it."""

__version__ = "0.1.0"
