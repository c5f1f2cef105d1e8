//! Server hooks: which are called where, in what order, with what, and what happens when they raise.

mod failures;
mod live;
mod record;
mod requests;
mod sequence;
mod signals;
