//! Limits: what could grow or last, and its bound.
//!
//! This page has no code of its own. Each bound is a field of [`Options`](crate::Options), unless another
//! place is named; a constant has its reason where it is defined.
//!
//! | what could grow or last | its bound (`Options` unless said otherwise) |
//! |---|---|
//! | connections | `max_connections`, over all loops of `LoopGroup`; others wait in the kernel's backlog |
//! | clients on their way to another loop | `MOST_ARRIVALS`; more are served by the loop that accepted them |
//! | loops | 1,024 |
//! | chat: lines on their way to another loop | 64 KiB and a line from each loop; who speaks is paused |
//! | input a handler leaves | `input_limit` |
//! | output a peer does not take | `high_water` stops reading from it, `output_limit` ends it |
//! | datagrams that wait to leave | `send_queue_packets`, `send_queue_bytes`; one more is dropped |
//! | the length of a datagram | `max_packet_size` |
//! | datagrams a turn, in and out | `packets_per_turn` |
//! | reads, writes, accepts, events a turn | `reads_per_turn`, `writes_per_turn`, `accepts_per_turn`, `events_per_turn` |
//! | a silent peer | `idle_timeout`; `keepalive` |
//! | a peer that never finishes what it begins | `frame_timeout` |
//! | the length of a line, a piece, a frame | an argument of each method of `Input` that waits for one |
//! | a closed connection | `close_timeout`, `linger_timeout`, `linger_time` |
//! | connections that linger | `max_lingering` |
//! | a connection in the making | `connect_timeout`; `MOST_UNDER_WAY` sockets at once |
//! | what the turns of one round send | 1 MiB in the outbox; what finds no room is output of its connection |
//! | names that are looked up | `lookup_threads`; who waits for one is a connection (`max_connections`) |
//! | tries while the backlog of a Unix server is full | one each `BACKLOG_RETRY`, within `connect_timeout` |
//! | pauses of `Reconnect` | `Reconnect::max_backoff` |
//! | calls from other threads | `post_queue` |
//! | handlers that block | `Workers::threads`, `Workers::processes`: more clients wait in the backlog, more datagrams in the kernel |
//! | what one read of a blocking handler keeps | an argument of `Request::take_line` and the like; else `input_limit` |
//! | one read or write of a blocking handler, all of them | `Workers::timeout`, `Workers::deadline` |
//! | the report of a child process | `send_queue_bytes` and 4 KiB; then it is killed |
//! | a thread without work | it ends after 10 s |
//! | offloaded work, its threads | `offload_queue`, `offload_threads` |
//! | a shutdown | its grace |
//! | entries of connections and timers that are gone | never more than the living ones and a constant (`io/deadline_queue.rs`, `io/timers.rs`) |
//! | retries of `accept` in a shortage | one each `ACCEPT_RETRY`, and one when a connection ends |
//! | accepting that fails for every client | 64 in a row, then one each `ACCEPT_RETRY` |
//! | receiving datagrams that fails | 65 in a row, then one each `ACCEPT_RETRY` |
//! | warnings of a listener, of a datagram socket | one a second |
