"""Applications in gunicorn's sense: what starts a server. Here the command does that."""
