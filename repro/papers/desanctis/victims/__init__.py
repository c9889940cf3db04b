"""Victims of membership inference: what several experiments of desanctis train and tabulate."""
