"""Cohere's v2 chat API as an upstream."""
