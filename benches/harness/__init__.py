"""Parts of benches/compare.py and benches/instructions.py (standard library only)."""
