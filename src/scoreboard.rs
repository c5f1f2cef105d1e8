//! The scoreboard: what each worker is doing, in memory shared with the master.
