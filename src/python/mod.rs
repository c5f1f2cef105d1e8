//! The embedded interpreter and everything that knows Python.
