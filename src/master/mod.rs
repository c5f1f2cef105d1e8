//! The master process: supervision of the workers.
