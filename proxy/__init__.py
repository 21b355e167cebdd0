"""A streaming reverse proxy between LLM callers and provider APIs. The map of the code is in README.md here."""

__version__ = "0.1.0"
