//! The example `kv`: Redis.

mod basics;
mod clients;
mod commands;
mod hostile;
mod large;
mod resp;
