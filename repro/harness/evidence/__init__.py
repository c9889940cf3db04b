"""What runs leave behind: tables kept in git, fingerprints, provenance, and the store of finished runs."""
