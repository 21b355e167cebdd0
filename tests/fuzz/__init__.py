"""Coverage-guided fuzzing of every codec; `python -m tests.fuzz` says how. Not part of the test suite, its finds are."""
