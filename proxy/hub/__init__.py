"""What things mean: the canonical vocabulary between every dialect and every provider. Pure; standard library and msgspec only."""
