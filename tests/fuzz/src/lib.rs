//! What is fuzzed: one module for each target, whose `run` takes any bytes and panics at a mistake.
//!
//! Parsers that no other program can reach are compiled in from where they lie. The same file is
//! the test `corpus` of the crate itself, which runs every seed once.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::cast_possible_wrap,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::option_option,
    clippy::panic,
    clippy::similar_names,
    clippy::unwrap_used,
    missing_docs,
    reason = "a panic is how a target fails, and of what is compiled in not all is used"
)]

#[path = "../../../src/conn"]
mod conn {
    #[allow(
        dead_code,
        unexpected_cfgs,
        reason = "the heap alone, without the features of the library"
    )]
    pub(crate) mod byte_buffer;
    pub(crate) mod framing;
    pub(crate) mod input;
}

#[path = "../../../src/bin/socketserver"]
mod command {
    pub(crate) mod args;
    pub(crate) mod bench;
    pub(crate) mod connect;
    pub(crate) mod console;
    pub(crate) mod private_dir;
    pub(crate) mod serve;
    pub(crate) mod stop_signals;
    pub(crate) mod system;
    pub(crate) mod terminal;
    pub(crate) mod units;
}

#[path = "../../../examples"]
mod examples {
    pub(crate) mod chat_cluster {
        pub(crate) mod cluster;
        pub(crate) mod protocol;
    }
    pub(crate) mod files {
        pub(crate) mod name;
    }
    pub(crate) mod http {
        pub(crate) mod body;
        pub(crate) mod chunk;
        pub(crate) mod conditions;
        pub(crate) mod files;
        pub(crate) mod media_types;
        pub(crate) mod request;
        pub(crate) mod response;
        pub(crate) mod site;
        pub(crate) mod spool;
        pub(crate) mod target;
    }
    pub(crate) mod kv {
        pub(crate) mod entries;
        pub(crate) mod glob;
        pub(crate) mod inline_command;
        pub(crate) mod large;
        pub(crate) mod large_command;
        pub(crate) mod memory;
        pub(crate) mod number;
        pub(crate) mod parser;
        pub(crate) mod replies;
        pub(crate) mod value;
    }
    pub(crate) mod socks5 {
        pub(crate) mod handshake;
    }
    pub(crate) mod support {
        pub(crate) mod head;
        pub(crate) mod places;
    }
    pub(crate) mod websocket {
        pub(crate) use super::support::head;

        pub(crate) mod connection;
        pub(crate) mod frame;
        pub(crate) mod handshake;
        pub(crate) mod message;
    }
}

// Where those files look for each other.
use command::{
    args, bench, connect, console, private_dir, serve, stop_signals, system, terminal, units,
};
use examples::http::{chunk, conditions, media_types, request, response, site, spool, target};
use examples::kv::{
    glob, inline_command, large, large_command, memory, number, parser, replies, value,
};
use examples::support::{head, places};

mod bytes;
#[cfg(test)]
mod corpus;
pub mod seeds;

pub mod addresses;
pub mod arguments;
pub mod cluster;
pub mod commands;
pub mod conversations;
pub mod fields;
pub mod file_names;
pub mod framing;
pub mod http_bodies;
pub mod http_heads;
pub mod quantities;
pub mod redis_messages;
pub mod socks;
pub mod websocket;
pub mod websocket_frames;
pub mod websocket_heads;

use seeds::Seed;

/// One parser or machine, and what is known of it.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    /// Takes any bytes, and panics at a mistake.
    pub run: fn(&[u8]),
    /// Where its fuzzing begins.
    pub seeds: fn() -> Vec<Seed>,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Seed>) -> Target {
    Target { name, run, seeds }
}

/// Every target.
pub const TARGETS: [Target; 16] = [
    target("addresses", addresses::run, seeds::texts::addresses),
    target("arguments", arguments::run, seeds::texts::arguments),
    target("cluster", cluster::run, seeds::redis::cluster),
    target("commands", commands::run, seeds::redis::commands),
    target("conversations", conversations::run, seeds::conversations::all),
    target("fields", fields::run, seeds::framing::fields),
    target("file_names", file_names::run, seeds::texts::file_names),
    target("framing", framing::run, seeds::framing::frames),
    target("http_bodies", http_bodies::run, seeds::http::bodies),
    target("http_heads", http_heads::run, seeds::http::heads),
    target("quantities", quantities::run, seeds::texts::quantities),
    target("redis_messages", redis_messages::run, seeds::redis::messages),
    target("socks", socks::run, seeds::socks::all),
    target("websocket", websocket::run, seeds::websocket::conversations),
    target("websocket_frames", websocket_frames::run, seeds::websocket::frames),
    target("websocket_heads", websocket_heads::run, seeds::websocket::heads),
];
