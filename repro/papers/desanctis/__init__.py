"""De Sanctis: membership inference that poisoning amplifies, and backdoors whose triggers vary."""
