"""The harness: what a reproduction is, how it is carried out, and what its evidence depends on; it knows no paper."""
