"""Long runs with their own commands, outside the default tests: `python -m tests.soak.NAME`."""
