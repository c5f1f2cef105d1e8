//! A worker process, from fork to exit.
