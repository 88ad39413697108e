//! What a server may be told before it starts.
//!
//! Every limit of the server has its name here, so that memory and time are bounded by what can
//! be read on one page. Each default is safe against a hostile peer.

use std::fmt;
use std::io;
use std::time::Duration;

/// The limits and socket options of one server.
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
    /// Connections open at once, outgoing ones and those that linger after their end included.
    /// More clients wait in the backlog of the kernel. Default: 1,048,576.
    pub max_connections: usize,
    /// Bytes of the one read buffer that all connections share; the most that one read takes.
    /// At most 1 GiB. Default: 256 KiB.
    pub read_buffer: usize,
    /// Reads for one connection before the others have their turn. Default: 4.
    pub reads_per_turn: usize,
    /// Writes for one connection before the others have their turn. Default: 4.
    pub writes_per_turn: usize,
    /// Clients accepted from one listener before the others have their turn. Default: 128.
    pub accepts_per_turn: usize,
    /// Events taken from the system at once, at most 1,048,576. Default: 1,024.
    pub events_per_turn: usize,
    /// Bytes a handler may leave untaken in its input. Above the limit the conversation ends with
    /// [`CloseReason::InputLimit`](crate::CloseReason::InputLimit), unless it is paused. Of a blocking handler it
    /// is the most that one `read_line`, `read_until`, `read_to_end` or `read_to_string` brings (see
    /// [`blocking::Request`](crate::blocking::Request)). Default: 1 MiB.
    pub input_limit: usize,
    /// Unsent bytes above which a connection is congested: it is not read any more (unless it is
    /// full duplex) and `send` says [`SendStatus::Congested`](crate::SendStatus::Congested). Two ends that both
    /// keep to that and send each other more than this before they read would wait for each other;
    /// a protocol in which that can happen needs full duplex on one side. Default: 64 KiB.
    pub high_water: usize,
    /// Unsent bytes at which a congested connection is read again and its handler's `drained`
    /// runs. Default: 16 KiB.
    pub low_water: usize,
    /// Unsent bytes above which a connection is reset with
    /// [`CloseReason::OutputLimit`](crate::CloseReason::OutputLimit). Default: 16 MiB.
    pub output_limit: usize,
    /// How long a connection may pass without one byte in either direction before it ends with
    /// [`CloseReason::IdleTimeout`](crate::CloseReason::IdleTimeout). Silence that is our own doing does not count: while
    /// a thread works for the connection ([`Context::offload`](crate::Context::offload)), while a
    /// handler that blocks has it, and while it is paused and nothing waits for the peer to take it.
    /// Afterwards the time begins anew.
    ///
    /// What the peer acknowledges is movement too, where the system says how much that is (Linux, with
    /// the feature `sys`; see [`Io::unacknowledged`](crate::Io::unacknowledged)). It is asked
    /// when the time is over, so a peer that leaves something unacknowledged and is gone ends after
    /// twice this time at the latest. Over loopback a system acknowledges in steps of up to 64 KiB:
    /// of a time in which a slow reader takes less than that, nobody can tell whether it reads.
    /// Default: `None`, for ever.
    pub idle_timeout: Option<Duration>,
    /// How long input that the handler has not taken may wait for the rest of its frame. The time counts from
    /// the first byte, however many more come, so a slow trickle (slowloris) does not extend it; while the
    /// connection is paused or congested it does not count. After that the connection ends with
    /// [`CloseReason::FrameTimeout`](crate::CloseReason::FrameTimeout). Default: `None`, for ever.
    pub frame_timeout: Option<Duration>,
    /// How long a connection that its handler closed may take to send what is left, counted from
    /// the last byte that moved or was acknowledged, as for [`Options::idle_timeout`]; after that it
    /// is reset. Default: 30 s.
    pub close_timeout: Duration,
    /// How long a connection waits for the next byte, or the end, of the peer after its own end
    /// (nginx's `lingering_timeout`). What comes is thrown away; a close instead would make the
    /// system answer it with a reset, which can destroy the answer on its way. It waits on while
    /// the peer has not acknowledged the answer. Default: 5 s.
    pub linger_timeout: Duration,
    /// How long it waits so in all, however much comes (nginx's `lingering_time`); during a shutdown
    /// 2 s at most. Default: 30 s.
    pub linger_time: Duration,
    /// Connections that may wait so at once. With one more the oldest is closed; so is the oldest when
    /// a client comes and [`Options::max_connections`] are open, or no descriptor is left. Default:
    /// 4,096.
    pub max_lingering: usize,
    /// How long an outgoing connection may take to stand, from its begin: the look-up of its name and
    /// all its addresses together; longer than nothing. Default: 30 s.
    pub connect_timeout: Duration,
    /// Clients that may wait in the kernel until they are accepted (Python's
    /// `request_queue_size`); not below 0. Default: `i32::MAX`, which every system cuts to its maximum.
    pub backlog: i32,
    /// `TCP_NODELAY`: small answers leave at once. Default: true.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` with this idle time (`TCP_KEEPIDLE`) in whole seconds, 1 to 32,767, so that a peer
    /// that vanished is noticed in the end. Default: 5 minutes.
    pub keepalive: Option<Duration>,
    /// How long a peer may leave the probes of [`Options::keepalive`] unanswered before the connection
    /// fails with [`TimedOut`](io::ErrorKind::TimedOut), as up to four probes (`TCP_KEEPINTVL` and
    /// `TCP_KEEPCNT`) in whole seconds, 1 to 32,767. It concerns only a peer that owes us nothing else:
    /// bytes that were sent and are not acknowledged have timeouts of their own. On Linux
    /// [`Options::user_timeout`] prevails over it. Default: `None`, what the system does; Linux sends 9
    /// probes, 75 s apart.
    pub keepalive_timeout: Option<Duration>,
    /// `TCP_USER_TIMEOUT` (RFC 5482; on Linux, Android and Fuchsia, no effect elsewhere): how long
    /// bytes that were sent may stay unacknowledged, or the peer's window shut, before the connection
    /// fails with [`TimedOut`](io::ErrorKind::TimedOut). Probes of [`Options::keepalive`] then come so
    /// often that a silent peer is given up within this time too. Default: `None`, as long as the
    /// system tries, which are some 15 minutes. From 1 ms to some 24 days.
    pub user_timeout: Option<Duration>,
    /// `SO_REUSEADDR` of listeners (Python's `allow_reuse_address`): a restarted server gets its port
    /// back. It is never set on Windows, nor for UDP anywhere, where it would let a second server
    /// take the port. Default: true.
    pub reuse_address: bool,
    /// `SO_REUSEPORT` (Python's `allow_reuse_port`): several servers share one port knowingly.
    /// An error for Unix sockets. Default: false.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`: a listener on `[::]` takes no IPv4 clients. Default: false, on every system.
    pub v6_only: bool,
    /// `SO_RCVBUF` and `SO_SNDBUF` of every socket. Default: `None`; the system then sizes streams as
    /// it sees fit, and datagram sockets ask for 4 MiB, so that a burst can wait. Every system cuts
    /// both to its maximum, and raises them to its minimum; 2 GiB and more cannot be asked for.
    pub receive_buffer: Option<usize>,
    /// See [`Options::receive_buffer`].
    pub send_buffer: Option<usize>,
    /// The longest datagram that is taken whole (Python's `max_packet_size`). Of a longer one the
    /// handler's [`truncated`](crate::DatagramHandler::truncated) is told. At most 16 MiB. Default:
    /// 65,535, which no UDP datagram exceeds.
    pub max_packet_size: usize,
    /// Datagrams received on one socket, and sent on it, before the others have their turn.
    /// Default: 64.
    pub packets_per_turn: usize,
    /// Datagrams that may wait to leave one socket; what is sent above that is dropped. Default:
    /// 4,096.
    pub send_queue_packets: usize,
    /// Bytes of them. Default: 8 MiB.
    pub send_queue_bytes: usize,
    /// Whether datagrams are handled that say they come from another datagram socket bound by this
    /// server. One forged packet could otherwise make two services answer each other for ever. From
    /// the receiving socket's own address none is ever handled. A socket that has chosen one peer
    /// ([`Io::connect_peer`](crate::Io::connect_peer), [`Server::connect_datagram`](crate::Server::connect_datagram))
    /// takes what that one sends in any case. Default: false.
    pub accept_own_packets: bool,
    /// `SO_BROADCAST`: datagrams may be sent to broadcast addresses. Default: false.
    pub broadcast: bool,
    /// `IP_TTL`, `IPV6_UNICAST_HOPS`: how many routers a datagram may pass, 1 to 255. An IPv6 socket
    /// that takes IPv4 datagrams too has it for both. Default: what the system says, usually 64.
    pub ttl: Option<u32>,
    /// `IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`: the same for groups, 0 to 255; with 0 no datagram
    /// leaves this machine. Default: what the system says, usually 1.
    pub multicast_ttl: Option<u32>,
    /// `IP_MULTICAST_LOOP`: what is sent to a group reaches members on this machine. Default: true.
    pub multicast_loop: bool,
    /// How long the loop looks for events without sleeping before it sleeps. Some tens of
    /// microseconds more than double what one connection gets through that waits for each answer,
    /// when the loop has a processor to itself; they cost that processor whenever something
    /// happens, and they cost others time when it has not. Default: nothing.
    pub busy_poll: Duration,
    /// Calls from other threads that may wait for the loop. Default: 65,536.
    pub post_queue: usize,
    /// Threads for [`Context::offload`](crate::Context::offload); none is started before it is
    /// needed. Default: 4.
    pub offload_threads: usize,
    /// Pieces of offloaded work that may be under way or waiting. Default: 1,024.
    pub offload_queue: usize,
    /// Threads that look up the names of outgoing connections; none is started before it is needed.
    /// The system's look-up cannot be called off, and one that nobody answers holds its thread for
    /// some 20 to 30 s. So one client, as told by its address, or one handler may hold as many as are
    /// left for others: half of them if it is alone. Default: 32.
    pub lookup_threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
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
        }
    }
}

/// Unix datagrams may be longer than those of UDP, but no system takes longer ones than this.
const LARGEST_PACKET: usize = 16 << 20;

/// The read buffer, and the list of events, are allocated when the server is made.
const LARGEST_READ_BUFFER: usize = 1 << 30;
const MOST_EVENTS: usize = 1 << 20;

/// Systems take the size of a socket's buffer as a C `int`.
const LARGEST_SOCKET_BUFFER: usize = i32::MAX as usize;

/// A TTL, or a number of hops, is one byte of a packet. Zero lets a datagram leave no host, which is
/// of use for groups alone; ip(7) takes it for nothing else.
const MOST_HOPS: u32 = 255;

/// Milliseconds in a C `int`, as Linux takes `TCP_USER_TIMEOUT`.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(2_147_483_647);

/// Seconds, as tcp(7) has `TCP_KEEPIDLE`.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

impl Options {
    /// Says which value cannot work, before anything is opened.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.check_counts()?;
        self.check_sizes()?;
        self.check_marks()?;
        self.check_times()?;
        self.check_sockets()
    }

    /// What nothing is allocated for in advance: the largest number is no limit.
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
        within("read_buffer", self.read_buffer, 1, LARGEST_READ_BUFFER)?;
        within("events_per_turn", self.events_per_turn, 1, MOST_EVENTS)?;
        within("max_packet_size", self.max_packet_size, 1, LARGEST_PACKET)?;
        for (name, size) in
            [("receive_buffer", self.receive_buffer), ("send_buffer", self.send_buffer)]
        {
            size.map_or(Ok(()), |size| within(name, size, 1, LARGEST_SOCKET_BUFFER))?;
        }
        Ok(())
    }

    fn check_marks(&self) -> io::Result<()> {
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
                return Err(unusable(&format!("{name} must be longer than nothing")));
            }
        }
        Ok(())
    }

    /// What the system would refuse when a socket is opened, and not say which option it was.
    fn check_sockets(&self) -> io::Result<()> {
        within("backlog", self.backlog, 0, i32::MAX)?;
        self.ttl.map_or(Ok(()), |ttl| within("ttl", ttl, 1, MOST_HOPS))?;
        self.multicast_ttl.map_or(Ok(()), |ttl| within("multicast_ttl", ttl, 0, MOST_HOPS))?;
        let seconds = Duration::from_secs(1)..=LONGEST_KEEPALIVE;
        for (name, time) in
            [("keepalive", self.keepalive), ("keepalive_timeout", self.keepalive_timeout)]
        {
            if let Some(time) = time.filter(|time| !seconds.contains(time)) {
                let longest = LONGEST_KEEPALIVE.as_secs();
                let what = format!("{name} must be from 1 s to {longest} s, not {time:?}");
                return Err(unusable(&what));
            }
        }
        let times = Duration::from_millis(1)..=LONGEST_USER_TIMEOUT;
        if let Some(timeout) = self.user_timeout.filter(|timeout| !times.contains(timeout)) {
            let longest = LONGEST_USER_TIMEOUT.as_millis();
            let what = format!("user_timeout must be from 1 ms to {longest} ms, not {timeout:?}");
            return Err(unusable(&what));
        }
        Ok(())
    }
}

fn within<N>(name: &str, value: N, least: N, most: N) -> io::Result<()>
where
    N: Copy + fmt::Display + PartialOrd,
{
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(unusable(&format!("{name} must be from {least} to {most}, not {value}")))
}

fn unusable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("unusable options: {what}"))
}
