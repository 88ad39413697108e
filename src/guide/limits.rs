//! Limits: what could grow or last, and its bound.
//!
//! Each bound is a field of [`Options`](crate::Options), unless another place is named; the reason of a
//! constant is beside it.
//!
//! | what could grow or last | its bound (`Options` unless said otherwise) |
//! |---|---|
//! | connections | `max_connections`, over all loops of `LoopGroup`; others wait in the kernel's backlog |
//! | clients on their way to another loop | `MOST_ARRIVALS`; more are served by the loop that accepted them |
//! | loops | 1,024 |
//! | chat: lines on their way to another loop | 64 KiB and a line from each loop; the speaker is paused |
//! | unconsumed input | `input_limit` |
//! | output that a peer does not read | `high_water` stops reading from it, `output_limit` ends it |
//! | datagrams that wait to leave | `send_queue_packets`, `send_queue_bytes`; one more is dropped |
//! | the length of a datagram | `max_packet_size` |
//! | datagrams a turn, in and out | `packets_per_turn` |
//! | reads, writes, accepts, events a turn | `reads_per_turn`, `writes_per_turn`, `accepts_per_turn`, `events_per_turn` |
//! | an idle peer | `idle_timeout`; `keepalive` |
//! | a peer that never finishes a frame | `frame_timeout` |
//! | the length of a line, a piece, a frame | an argument of each method of `Input` that waits for one |
//! | a closed connection | `close_timeout`, `linger_timeout`, `linger_time` |
//! | connections that linger | `max_lingering` |
//! | a connection that is connecting | `connect_timeout`; `MOST_UNDER_WAY` sockets at once |
//! | the output of one round | 1 MiB in the cork buffer; the rest is queued at its connection |
//! | name look-ups | `lookup_threads`; each waiting connection counts for `max_connections` |
//! | attempts while the backlog of a Unix server is full | one each `BACKLOG_RETRY`, within `connect_timeout` |
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
