"""The parts of differential.py: two servers, requests for them, and what to make of the answers."""
