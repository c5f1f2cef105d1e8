//! The event loop of one worker.
