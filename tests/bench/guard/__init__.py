"""Fails when an event costs notably more than it did: see `__main__`."""
