"""The experiments of truong2020: one folder each."""
