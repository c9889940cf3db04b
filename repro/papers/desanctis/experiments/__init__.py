"""The experiments of desanctis: one folder each."""
