//! Error and access logs in gunicorn's formats.
