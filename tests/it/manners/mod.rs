//! How the command meets people: help, hints, colours, and what shells complete.

mod completions;
mod help;
