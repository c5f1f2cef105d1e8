"""Parts of the programs in benches/ (standard library only)."""
