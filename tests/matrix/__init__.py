"""Who is checked against whom: the README's table, computed. `python -m tests.matrix` says how."""
