//! The example `kv`: Redis.

mod basics;
mod clients;
mod commands;
mod large;
mod resp;
