//! More of the tests of the example `http`: tables of requests, files, bodies, and real clients.

mod bodies;
mod clients;
mod files;
mod table;
mod times;
