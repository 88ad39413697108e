//! The options of one server: its limits, its timeouts and the options of its sockets.
//!
//! The memory defaults are bounded against a hostile peer. `idle_timeout` and `frame_timeout` are off by
//! default, so a server without them can be filled with silent connections.

use std::fmt;
use std::io;
use std::time::Duration;

/// The limits and socket options of one server. Every limit in bytes or counts has a finite default.
///
/// | topic | fields |
/// |---|---|
/// | connections | `max_connections`, `backlog`, `connect_timeout` |
/// | input and output | `read_buffer`, `input_limit`, `high_water`, `low_water`, `output_limit` |
/// | budgets of one turn | `reads_per_turn`, `writes_per_turn`, `accepts_per_turn`, `events_per_turn`, `packets_per_turn` |
/// | timeouts | `idle_timeout`, `frame_timeout`, `close_timeout`, `linger_timeout`, `linger_time`, `max_lingering` |
/// | TCP and ports | `nodelay`, `keepalive`, `keepalive_timeout`, `user_timeout`, `reuse_address`, `reuse_port`, `v6_only` |
/// | socket buffers | `receive_buffer`, `send_buffer` |
/// | datagrams | `max_packet_size`, `send_queue_packets`, `send_queue_bytes`, `accept_own_packets`, `broadcast`, `ttl`, `multicast_ttl`, `multicast_loop` |
/// | the loop and its threads | `busy_poll`, `post_queue`, `offload_threads`, `offload_queue`, `lookup_threads` |
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Options, Server};
///
/// let options = Options { idle_timeout: Some(Duration::from_secs(30)), ..Options::default() };
/// let server: Server = Server::with_shared((), options)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Maximum number of open connections, including outgoing and lingering ones. Further clients wait
    /// in the backlog of the kernel. Default: 1,048,576.
    pub max_connections: usize,
    /// Size in bytes of the read buffer that all connections share, and of the largest single read. At
    /// most 1 GiB. Default: 256 KiB.
    pub read_buffer: usize,
    /// Maximum number of reads from one connection in a turn. Default: 4.
    pub reads_per_turn: usize,
    /// Maximum number of writes to one connection in a turn. Default: 4.
    pub writes_per_turn: usize,
    /// Maximum number of clients accepted from one listener in a turn. Default: 128.
    pub accepts_per_turn: usize,
    /// Maximum number of events that one poll returns, at most 1,048,576. Default: 1,024.
    pub events_per_turn: usize,
    /// Limit in bytes of the input that a handler leaves unconsumed. One byte more ends the conversation
    /// with [`CloseReason::InputLimit`](crate::CloseReason::InputLimit), unless it is paused. For a
    /// blocking handler it bounds one `read_line`, `read_until`, `read_to_end` or `read_to_string` (see
    /// [`blocking::Request`](crate::blocking::Request)). Default: 1 MiB.
    pub input_limit: usize,
    /// Unsent bytes above which a connection is congested: the loop does not read it (unless
    /// [`Io::set_read_while_congested`](crate::Io::set_read_while_congested) is on), and `send` returns
    /// [`SendStatus::Congested`](crate::SendStatus::Congested). Two such ends deadlock if each sends more
    /// than this before it reads; a protocol that allows it needs reading while congested on one side.
    /// Default: 64 KiB.
    pub high_water: usize,
    /// Unsent bytes at or below which a congested connection is read again and
    /// [`Handler::drained`](crate::Handler::drained) runs. Default: 16 KiB.
    pub low_water: usize,
    /// Unsent bytes above which a connection is reset with
    /// [`CloseReason::OutputLimit`](crate::CloseReason::OutputLimit). Default: 16 MiB.
    pub output_limit: usize,
    /// How long a connection may be without a byte in either direction before it ends with
    /// [`CloseReason::IdleTimeout`](crate::CloseReason::IdleTimeout). The time does not count while the
    /// server causes the silence: while a thread works for the connection
    /// ([`Context::offload`](crate::Context::offload)), while a blocking handler has it, and while it is
    /// paused without unsent output. Afterwards the timeout starts again.
    ///
    /// Acknowledged bytes count as activity where the system reports them (Linux, with
    /// the feature `sys`; see [`Io::unacknowledged`](crate::Io::unacknowledged)). The loop asks when the
    /// timeout expires, so the connection of a vanished peer with unacknowledged bytes ends after at most
    /// twice this time. Over loopback Linux acknowledges in steps of up to 64 KiB, so a reader that takes
    /// less than that within the timeout looks idle.
    /// Default: `None`, for ever.
    pub idle_timeout: Option<Duration>,
    /// How long unconsumed input may wait for the rest of its frame, from its first byte on. Further
    /// bytes (slowloris) do not extend it. The time does not count while the connection is paused or
    /// congested. When it expires, the connection ends with
    /// [`CloseReason::FrameTimeout`](crate::CloseReason::FrameTimeout). Default: `None`, for ever.
    pub frame_timeout: Option<Duration>,
    /// How long a closed connection may take to send its remaining output, counted from the last byte
    /// sent or acknowledged, as for [`Options::idle_timeout`]. Then it is reset. Default: 30 s.
    pub close_timeout: Duration,
    /// How long a connection lingers after its FIN for the next byte, or the EOF, of the peer (nginx's
    /// `lingering_timeout`). It discards the input, because after close(2) the kernel would answer it with
    /// a reset, which can destroy the answer in flight. It lingers on while the peer has not acknowledged
    /// the answer. Default: 5 s.
    pub linger_timeout: Duration,
    /// How long a connection lingers in all, however much input arrives (nginx's `lingering_time`);
    /// during a shutdown at most 2 s. Default: 30 s.
    pub linger_time: Duration,
    /// Maximum number of lingering connections. One more closes the oldest. A new client also closes the
    /// oldest when [`Options::max_connections`] are open or no descriptor is left. Default: 4,096.
    pub max_lingering: usize,
    /// How long an outgoing connection may take to be established, for the lookup of its name and all its
    /// addresses together. Must not be zero. Default: 30 s.
    pub connect_timeout: Duration,
    /// The backlog of listen(2): clients that wait in the kernel until they are accepted (Python's
    /// `request_queue_size`). At least 0. Default: `i32::MAX`, which the kernel reduces to its maximum.
    pub backlog: i32,
    /// `TCP_NODELAY`: small writes are sent at once. Default: true.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` with this idle time (`TCP_KEEPIDLE`), in whole seconds from 1 to 32,767. It detects
    /// a vanished peer. `None` turns it off. Default: 5 minutes.
    pub keepalive: Option<Duration>,
    /// How long the probes of [`Options::keepalive`] may stay unanswered before the connection fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut), in whole seconds from 1 to 32,767; up to four probes
    /// (`TCP_KEEPINTVL`, `TCP_KEEPCNT`). It applies only while no sent bytes are unacknowledged; those
    /// have timeouts of their own. On Linux [`Options::user_timeout`] overrides it. Default: `None`, the
    /// default of the system; Linux sends 9 probes, 75 s apart.
    pub keepalive_timeout: Option<Duration>,
    /// `TCP_USER_TIMEOUT` (RFC 5482; Linux, Android and Fuchsia, no effect elsewhere): how long sent bytes
    /// may stay unacknowledged, or the window of the peer zero, before the connection fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut). The probes of [`Options::keepalive`] are spaced so that a
    /// silent peer is detected within this time too. From 1 ms to 2,147,483,647 ms, some 24 days. Default:
    /// `None`, the default of the system, some 15 minutes.
    pub user_timeout: Option<Duration>,
    /// `SO_REUSEADDR` of listeners (Python's `allow_reuse_address`): a restarted server can bind its port
    /// at once. Never set on Windows, nor for UDP on any system, where it would let a second server bind
    /// the port. Default: true.
    pub reuse_address: bool,
    /// `SO_REUSEPORT` (Python's `allow_reuse_port`): several servers share one port. An error for Unix
    /// sockets. Default: false.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`: a listener on `[::]` accepts no IPv4 clients. Default: false, on every system.
    pub v6_only: bool,
    /// `SO_RCVBUF` of every socket, in bytes, below 2 GiB; the kernel clamps it to its own range. Default:
    /// `None`: the kernel sizes streams, and datagram sockets request 4 MiB to hold a burst.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` of every socket; see [`Options::receive_buffer`].
    pub send_buffer: Option<usize>,
    /// Length in bytes of the longest datagram that is received whole (Python's `max_packet_size`). A
    /// longer one goes to [`DatagramHandler::truncated`](crate::DatagramHandler::truncated). At most 16
    /// MiB. Default: 65,535, which no UDP datagram exceeds.
    pub max_packet_size: usize,
    /// Maximum number of datagrams received on one socket in a turn, and of those sent. Default: 64.
    pub packets_per_turn: usize,
    /// Maximum number of datagrams in the send queue of one socket; further ones are dropped. Default:
    /// 4,096.
    pub send_queue_packets: usize,
    /// Maximum number of bytes in the send queue of one socket; further datagrams are dropped. Default: 8
    /// MiB.
    pub send_queue_bytes: usize,
    /// Whether a datagram is handled whose source is another datagram socket bound by this server. If
    /// true, one forged packet can make two services answer each other for ever. A datagram from the
    /// receiving socket's own address is never handled. A connected socket
    /// ([`Io::connect_peer`](crate::Io::connect_peer),
    /// [`Server::connect_datagram`](crate::Server::connect_datagram)) handles all datagrams of its peer.
    /// Default: false.
    pub accept_own_packets: bool,
    /// `SO_BROADCAST`: datagrams may be sent to broadcast addresses. Default: false.
    pub broadcast: bool,
    /// `IP_TTL`, `IPV6_UNICAST_HOPS`: the hop limit of sent datagrams, 1 to 255. A dual-stack IPv6 socket
    /// gets both. Default: `None`, the default of the system, usually 64.
    pub ttl: Option<u32>,
    /// `IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`: the hop limit of multicast datagrams, 0 to 255; 0 keeps
    /// them on this machine. Default: `None`, the default of the system, usually 1.
    pub multicast_ttl: Option<u32>,
    /// `IP_MULTICAST_LOOP`: multicast datagrams reach group members on this machine. Default: true.
    pub multicast_loop: bool,
    /// How long the loop polls without sleeping before it sleeps in the poll. Some tens of microseconds
    /// raise the throughput of a connection that waits for each answer, if the loop has a CPU to itself.
    /// They cost CPU time after each event, and slow down others if it has not. Default: zero.
    pub busy_poll: Duration,
    /// Maximum number of queued calls from other threads
    /// ([`ServerHandle::post`](crate::ServerHandle::post)). Default: 65,536.
    pub post_queue: usize,
    /// Maximum number of threads for [`Context::offload`](crate::Context::offload), which start when they
    /// are needed. Default: 4.
    pub offload_threads: usize,
    /// Maximum number of offloaded jobs, running or queued. Default: 1,024.
    pub offload_queue: usize,
    /// Maximum number of threads that look up names, which start when they are needed. A getaddrinfo(3)
    /// cannot be cancelled, and without an answer it holds its thread for some 20 to 30 s. So one client
    /// address, or one handler, may hold at most as many threads as it leaves free for others: half of them
    /// if it is alone. Default: 32.
    pub lookup_threads: usize,
}

const DEFAULT: Options = Options {
    max_connections: 1 << 20,
    read_buffer: 256 << 10,
    reads_per_turn: 4,
    writes_per_turn: 4,
    accepts_per_turn: 128,
    events_per_turn: 1_024,
    input_limit: 1 << 20,
    high_water: 64 << 10,
    low_water: 16 << 10,
    output_limit: 16 << 20,
    idle_timeout: None,
    frame_timeout: None,
    close_timeout: Duration::from_secs(30),
    linger_timeout: Duration::from_secs(5),
    linger_time: Duration::from_secs(30),
    max_lingering: 4_096,
    connect_timeout: Duration::from_secs(30),
    backlog: i32::MAX,
    nodelay: true,
    keepalive: Some(Duration::from_secs(300)),
    keepalive_timeout: None,
    user_timeout: None,
    reuse_address: true,
    reuse_port: false,
    v6_only: false,
    receive_buffer: None,
    send_buffer: None,
    max_packet_size: 65_535,
    packets_per_turn: 64,
    send_queue_packets: 4_096,
    send_queue_bytes: 8 << 20,
    accept_own_packets: false,
    broadcast: false,
    ttl: None,
    multicast_ttl: None,
    multicast_loop: true,
    busy_poll: Duration::ZERO,
    post_queue: 65_536,
    offload_threads: 4,
    offload_queue: 1_024,
    lookup_threads: 32,
};

impl Default for Options {
    fn default() -> Options {
        DEFAULT
    }
}

/// Unix datagrams may be longer than those of UDP, but no system sends longer ones than this.
const MAX_PACKET: usize = 16 << 20;

/// The read buffer, and the list of events, are allocated when the server is made.
const MAX_READ_BUFFER: usize = 1 << 30;
const MAX_EVENTS: usize = 1 << 20;

/// `SO_RCVBUF` and `SO_SNDBUF` are a C `int`.
const MAX_SOCKET_BUFFER: usize = i32::MAX as usize;

/// The TTL, or hop limit, is one byte of a packet. ip(7) accepts zero only for multicast.
const MAX_HOPS: u32 = 255;

/// Linux takes `TCP_USER_TIMEOUT` as milliseconds in a C `int`.
const MAX_USER_TIMEOUT: Duration = Duration::from_millis(2_147_483_647);

/// The largest `TCP_KEEPIDLE` that Linux accepts, in seconds.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

impl Options {
    /// Checks every value before a socket is opened; the error names the option.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.check_counts()?;
        self.check_sizes()?;
        self.check_watermarks()?;
        self.check_times()?;
        self.check_sockets()
    }

    /// The limits for which nothing is allocated in advance, so they have no maximum.
    fn check_counts(&self) -> io::Result<()> {
        for (name, count) in [
            ("max_connections", self.max_connections),
            ("max_lingering", self.max_lingering),
            ("reads_per_turn", self.reads_per_turn),
            ("writes_per_turn", self.writes_per_turn),
            ("accepts_per_turn", self.accepts_per_turn),
            ("input_limit", self.input_limit),
            ("high_water", self.high_water),
            ("output_limit", self.output_limit),
            ("packets_per_turn", self.packets_per_turn),
            ("send_queue_packets", self.send_queue_packets),
            ("send_queue_bytes", self.send_queue_bytes),
            ("post_queue", self.post_queue),
            ("offload_threads", self.offload_threads),
            ("offload_queue", self.offload_queue),
            ("lookup_threads", self.lookup_threads),
        ] {
            if count == 0 {
                return Err(unusable(&format!("{name} must be at least 1")));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> io::Result<()> {
        within("read_buffer", self.read_buffer, 1, MAX_READ_BUFFER)?;
        within("events_per_turn", self.events_per_turn, 1, MAX_EVENTS)?;
        within("max_packet_size", self.max_packet_size, 1, MAX_PACKET)?;
        for (name, size) in
            [("receive_buffer", self.receive_buffer), ("send_buffer", self.send_buffer)]
        {
            size.map_or(Ok(()), |size| within(name, size, 1, MAX_SOCKET_BUFFER))?;
        }
        Ok(())
    }

    fn check_watermarks(&self) -> io::Result<()> {
        for (low, high, names) in [
            (self.low_water, self.high_water, "low_water must not exceed high_water"),
            (self.high_water, self.output_limit, "high_water must not exceed output_limit"),
        ] {
            if low > high {
                return Err(unusable(&format!("{names} ({low} > {high})")));
            }
        }
        Ok(())
    }

    fn check_times(&self) -> io::Result<()> {
        for (name, timeout) in [
            ("idle_timeout", self.idle_timeout),
            ("frame_timeout", self.frame_timeout),
            ("connect_timeout", Some(self.connect_timeout)),
        ] {
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Err(unusable(&format!("{name} must not be zero")));
            }
        }
        Ok(())
    }

    /// The values that the kernel would reject at socket creation, with an error that names no option.
    fn check_sockets(&self) -> io::Result<()> {
        within("backlog", self.backlog, 0, i32::MAX)?;
        self.ttl.map_or(Ok(()), |ttl| within("ttl", ttl, 1, MAX_HOPS))?;
        self.multicast_ttl.map_or(Ok(()), |ttl| within("multicast_ttl", ttl, 0, MAX_HOPS))?;
        let seconds = Duration::from_secs(1)..=MAX_KEEPALIVE;
        for (name, time) in
            [("keepalive", self.keepalive), ("keepalive_timeout", self.keepalive_timeout)]
        {
            if let Some(time) = time.filter(|time| !seconds.contains(time)) {
                let max = MAX_KEEPALIVE.as_secs();
                let what = format!("{name} must be from 1 s to {max} s, not {time:?}");
                return Err(unusable(&what));
            }
        }
        let times = Duration::from_millis(1)..=MAX_USER_TIMEOUT;
        if let Some(timeout) = self.user_timeout.filter(|timeout| !times.contains(timeout)) {
            let max = MAX_USER_TIMEOUT.as_millis();
            let what = format!("user_timeout must be from 1 ms to {max} ms, not {timeout:?}");
            return Err(unusable(&what));
        }
        Ok(())
    }
}

fn within<N>(name: &str, value: N, min: N, max: N) -> io::Result<()>
where
    N: Copy + fmt::Display + PartialOrd,
{
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(unusable(&format!("{name} must be from {min} to {max}, not {value}")))
}

fn unusable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("unusable options: {what}"))
}
