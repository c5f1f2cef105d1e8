//! HTTP/1 without I/O: bytes in, events out; no descriptor, no clock, no Python.
