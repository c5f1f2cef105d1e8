//! Settings: the table, the layers they come from, and the references derived from it.
