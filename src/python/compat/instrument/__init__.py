"""Loggers that measure: what `gunicorn.instrument` offers."""
