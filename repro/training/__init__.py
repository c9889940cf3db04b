"""The fleet engine: many models of one architecture trained as one stacked computation."""
