"""Ollama's native API as an upstream."""
