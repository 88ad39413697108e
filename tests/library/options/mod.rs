//! Options: how they are checked, and what single ones do.

mod checks;
mod effects;
