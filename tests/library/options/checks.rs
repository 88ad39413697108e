//! Every option is refused by its name where it cannot be, works at its edges, and has a test that
//! falls when it is ignored.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use socketserver::blocking::{Request, Workers};
use socketserver::{
    CloseReason, Connect, Echo, LengthField, LoopGroup, Options, Reconnect, Server, TraceEvent,
};

use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, PATIENCE};

const NONE: Duration = Duration::ZERO;

/// Shorter than the shortest pause.
const SHORT: Duration = Duration::from_micros(999);

/// A value that cannot be, and what the error must name.
struct Misuse(&'static str, io::Result<()>);

fn options(change: impl Fn(&mut Options)) -> io::Result<()> {
    let mut options = Options::default();
    change(&mut options);
    Server::<()>::with_shared((), options).map(drop)
}

/// For each option that counts something or takes a time, every value beyond its edges.
fn options_that_cannot_be() -> Vec<Misuse> {
    macro_rules! misuses {
        ($($option:ident: $($value:expr),*;)*) => {
            vec![$($(Misuse(stringify!($option), options(|all| all.$option = $value))),*),*]
        };
    }
    misuses! {
        max_connections: 0;
        read_buffer: 0, (1 << 30) + 1, 1 << 40, usize::MAX;
        reads_per_turn: 0;
        writes_per_turn: 0;
        accepts_per_turn: 0;
        events_per_turn: 0, (1 << 20) + 1, 1 << 40, usize::MAX;
        input_limit: 0;
        high_water: 0, (16 << 20) + 1, 1 << 40, usize::MAX;
        low_water: (64 << 10) + 1, usize::MAX;
        output_limit: 0, (64 << 10) - 1;
        idle_timeout: Some(NONE);
        frame_timeout: Some(NONE);
        connect_timeout: NONE;
        backlog: -1, i32::MIN;
        keepalive: Some(NONE), Some(Duration::from_millis(999)), Some(Duration::from_secs(32_768)),
            Some(Duration::MAX);
        keepalive_timeout: Some(NONE), Some(Duration::from_millis(999)),
            Some(Duration::from_secs(32_768)), Some(Duration::MAX);
        user_timeout: Some(NONE), Some(Duration::from_micros(999)),
            Some(Duration::from_millis(1 << 31)), Some(Duration::MAX);
        receive_buffer: Some(0), Some(1 << 31), Some(1 << 40), Some(usize::MAX);
        send_buffer: Some(0), Some(1 << 31), Some(1 << 40), Some(usize::MAX);
        max_packet_size: 0, (16 << 20) + 1, 1 << 40, usize::MAX;
        packets_per_turn: 0;
        send_queue_packets: 0;
        send_queue_bytes: 0;
        ttl: Some(0), Some(256), Some(999), Some(u32::MAX);
        multicast_ttl: Some(256), Some(u32::MAX);
        post_queue: 0;
        offload_threads: 0;
        offload_queue: 0;
        lookup_threads: 0;
    }
}

fn blocking(mode: &Workers) -> io::Result<()> {
    let handler = |_: &mut Request<'_>| Ok(());
    let mut server = Server::new()?;
    let stream = server.listen_blocking("127.0.0.1:0", mode, move |_| handler).map(drop);
    let datagrams = server.bind_blocking("127.0.0.1:0", mode, move |_| handler).map(drop);
    assert_eq!(stream.is_err(), datagrams.is_err());
    stream
}

fn reconnecting(change: fn(Reconnect<Factory>) -> Reconnect<Factory>) -> io::Result<()> {
    let again = Reconnect::new("127.0.0.1:1", once_more as Factory)?;
    let mut server = Server::new()?;
    change(again).start(&mut server).map(drop)
}

type Factory = fn(Option<CloseReason>) -> Option<Echo>;

#[expect(clippy::unnecessary_wraps, reason = "what `Reconnect` asks for")]
fn once_more(_: Option<CloseReason>) -> Option<Echo> {
    Some(Echo)
}

fn cores(loops: usize) -> io::Result<()> {
    let cores = LoopGroup::new(loops);
    let handle = cores.handle();
    let ended = cores.serve(|_| (), |_, _: &mut Server| Ok(()));
    assert_eq!(handle.wait(Duration::MAX), None, "who waits is told");
    ended.map(drop)
}

fn frames(field: LengthField) -> io::Result<()> {
    let taken = socketserver::Input::new(b"").take_frame_with(&field, 9).map(drop);
    let written = field.write(&mut Vec::new(), b"", 9);
    assert_eq!(taken.is_err(), written.is_err());
    taken
}

fn from(from: &str) -> io::Result<()> {
    let mut server = Server::new()?;
    server.connect(Connect::to("127.0.0.1:1")?.local_addr(from)?, Echo).map(drop)
}

fn what_else_cannot_be() -> Vec<Misuse> {
    vec![
        Misuse("Workers::threads", blocking(&Workers::threads(0))),
        Misuse("Workers::timeout", blocking(&Workers::inline().timeout(NONE))),
        Misuse("Workers::deadline", blocking(&Workers::threads(1).deadline(NONE))),
        Misuse("LoopGroup::new", cores(0)),
        Misuse("LoopGroup::new", cores(1_025)),
        Misuse("LoopGroup::new", cores(usize::MAX)),
        Misuse("Reconnect::initial_backoff", reconnecting(|again| again.initial_backoff(NONE))),
        Misuse("Reconnect::initial_backoff", reconnecting(|again| again.initial_backoff(SHORT))),
        Misuse("Reconnect::max_backoff", reconnecting(|again| again.max_backoff(NONE))),
        Misuse("Reconnect::max_backoff", reconnecting(|again| again.max_backoff(SHORT))),
        Misuse("LengthField::offset", frames(LengthField::U16.offset(65_536))),
        Misuse("LengthField::offset", frames(LengthField::VARINT.offset(1 << 40))),
        Misuse("LengthField::offset", frames(LengthField::U8.offset(usize::MAX))),
        Misuse("Connect::local_addr", from("[::1]:0")),
        #[cfg(all(unix, feature = "processes"))]
        Misuse("Workers::processes", blocking(&Workers::processes(0))),
    ]
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    for Misuse(name, result) in options_that_cannot_be().into_iter().chain(what_else_cannot_be()) {
        let Err(error) = result else { panic!("{name}: it was taken") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

/// Every limit as high as it may be, so that what is added to it must not overflow.
fn largest() -> Options {
    Options {
        max_connections: usize::MAX,
        read_buffer: 1 << 30,
        reads_per_turn: usize::MAX,
        writes_per_turn: usize::MAX,
        accepts_per_turn: usize::MAX,
        events_per_turn: 1 << 20,
        input_limit: usize::MAX,
        high_water: usize::MAX,
        low_water: usize::MAX,
        output_limit: usize::MAX,
        idle_timeout: Some(Duration::MAX),
        frame_timeout: Some(Duration::MAX),
        close_timeout: Duration::MAX,
        linger_timeout: Duration::MAX,
        linger_time: Duration::MAX,
        max_lingering: usize::MAX,
        connect_timeout: Duration::MAX,
        backlog: i32::MAX,
        keepalive: Some(Duration::from_secs(32_767)),
        keepalive_timeout: Some(Duration::from_secs(32_767)),
        user_timeout: Some(Duration::from_millis((1 << 31) - 1)),
        receive_buffer: Some(i32::MAX as usize),
        send_buffer: Some(i32::MAX as usize),
        max_packet_size: 16 << 20,
        packets_per_turn: usize::MAX,
        send_queue_packets: usize::MAX,
        send_queue_bytes: usize::MAX,
        ttl: Some(255),
        multicast_ttl: Some(255),
        busy_poll: Duration::MAX,
        post_queue: usize::MAX,
        offload_threads: usize::MAX,
        offload_queue: usize::MAX,
        lookup_threads: usize::MAX,
        // No `..`: a new option has to come here too.
        nodelay: true,
        reuse_address: true,
        reuse_port: false,
        v6_only: false,
        accept_own_packets: true,
        broadcast: true,
        multicast_loop: true,
    }
}

/// The same as low. What is counted in turns must still come to its end.
fn smallest() -> Options {
    Options {
        max_connections: 1,
        read_buffer: 1,
        reads_per_turn: 1,
        writes_per_turn: 1,
        accepts_per_turn: 1,
        events_per_turn: 1,
        high_water: 1,
        low_water: 0,
        close_timeout: NONE,
        linger_timeout: NONE,
        linger_time: NONE,
        max_lingering: 1,
        backlog: 0,
        keepalive: Some(Duration::from_secs(1)),
        keepalive_timeout: Some(Duration::from_secs(1)),
        packets_per_turn: 1,
        send_queue_packets: 1,
        ttl: Some(1),
        multicast_ttl: Some(0),
        post_queue: 1,
        offload_threads: 1,
        offload_queue: 1,
        lookup_threads: 1,
        ..Options::default()
    }
}

#[test]
fn what_is_at_the_edge_works() {
    let kinds = if cfg!(unix) { &Kind::ALL[..] } else { &Kind::ALL[..1] };
    for options in [largest(), smallest()] {
        for kind in kinds {
            let mut harness = Harness::with_shared((), options.clone());
            let addr = harness.serve(*kind, |_| Echo);
            let mut client = Client::connect(&addr);
            harness.echo(&mut client, &[7; 5_000]);
            client.finish_sending();
            assert_eq!(harness.receive_to_end(&mut client), b"");
            drop(client);
            harness.until_ended(1);
        }
        let mut harness = Harness::with_shared((), options.clone());
        let (_, addr) = harness.serve_datagrams(DatagramKind::V4, Echo);
        harness.exchange(&DatagramClient::new(&addr), b"hello");
        harness.shutdown(Duration::MAX).unwrap();
    }
    for (first, most) in [(1, u64::MAX), (u64::MAX >> 10, 1), (u64::MAX >> 10, u64::MAX)] {
        let again = Reconnect::new("127.0.0.1:1", once_more as Factory).unwrap();
        let (first, most) = (Duration::from_millis(first), Duration::from_secs(most));
        let mut harness = Harness::new();
        again.initial_backoff(first).max_backoff(most).start(&mut harness).unwrap();
        harness.until(|server| server.io().stats().all_ended() > 0);
        harness.shutdown(NONE).unwrap();
    }
}

#[test]
#[cfg_attr(
    mio_unsupported_force_poll_poll,
    ignore = "there mio reports all that are ready at once"
)]
fn a_turn_takes_so_many_events_at_once() {
    let mut harness =
        Harness::with_shared((), Options { events_per_turn: 2, ..Options::default() });
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut clients = Client::connect_many(&addr, 8);
    harness.until(|server| server.io().stats().accepted == 8);
    for client in &mut clients {
        client.send(b"hello");
    }
    let steps = harness.steps();
    for client in &mut clients {
        assert_eq!(harness.receive(client, 5), b"hello");
    }
    let most = steps.all().into_iter().filter_map(|step| match step {
        TraceEvent::Polled(events) => Some(events),
        _ => None,
    });
    assert_eq!(most.max(), Some(2));
}

/// A thread that waits without a sleep gives its processor to nobody of its own will.
#[cfg(target_os = "linux")]
#[test]
fn who_spins_does_not_sleep() {
    use nix::sys::resource::{UsageWho, getrusage};

    let sleeps = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().voluntary_context_switches();
    let turns = |busy_poll: Duration| {
        let mut harness = Harness::with_shared((), Options { busy_poll, ..Options::default() });
        let one = |_| {
            let before = sleeps();
            harness.turn(Some(Duration::from_millis(5))).unwrap();
            sleeps() - before
        };
        (0..20).map(one).collect::<Vec<_>>()
    };
    // A lock of the kernel may make it wait once in a while.
    let spinning = turns(PATIENCE);
    assert!(spinning.contains(&0), "{spinning:?}");
    let sleeping = turns(NONE);
    assert!(sleeping.iter().all(|sleeps| *sleeps > 0), "{sleeping:?}");
}

/// More than by default: they wait for each other.
#[test]
fn as_many_threads_work_at_once() {
    let mut harness = Harness::with_shared(0, Options { offload_threads: 9, ..Options::default() });
    let meeting = Arc::new(Barrier::new(9));
    let id = harness.server.add_timer_handler(move |cx| {
        for _ in 0..9 {
            let meeting = Arc::clone(&meeting);
            cx.offload(move || meeting.wait().is_leader(), |met: &mut i32, _, _| *met += 1)?;
        }
        Ok(())
    });
    harness.io_mut().set_timer(id.unwrap(), NONE);
    harness.until(|server| *server.shared_mut() == 9);
}

/// For each option a test that falls when the option is ignored: where its default stands in its place.
/// A field that has none does not compile here.
macro_rules! each_option_has {
    ($($option:ident: $file:literal, $test:ident;)*) => {
        const TESTS: &[(&str, &str, &str)] =
            &[$((stringify!($option), $file, stringify!($test))),*];

        /// All fields, and no two dots.
        fn every_option_is_listed(options: Options) {
            let Options { $($option: _),* } = options;
        }
    };
}

each_option_has! {
    max_connections: "tests/library/limits.rs",
        above_max_connections_clients_wait_and_are_served_as_others_leave;
    read_buffer: "tests/library/stream/fairness.rs", what_came_at_once_is_read_in_the_turn_of_its_event_as_far_as_the_budget_goes;
    reads_per_turn: "tests/library/options/effects.rs", a_turn_has_as_many_reads_as_the_budget_says;
    writes_per_turn: "tests/library/options/effects.rs", a_turn_has_as_many_writes_as_the_budget_says;
    accepts_per_turn: "tests/library/stream/fairness.rs", accepts_are_spread_over_turns_by_their_budget;
    events_per_turn: "tests/library/options/checks.rs", a_turn_takes_so_many_events_at_once;
    input_limit: "tests/library/stream/lifecycle.rs", as_many_bytes_as_the_input_limit_may_be_left_until_the_end;
    high_water: "tests/library/options/effects.rs", output_above_high_water_is_congestion_until_low_water;
    low_water: "tests/library/options/effects.rs", output_above_high_water_is_congestion_until_low_water;
    output_limit: "tests/library/options/effects.rs", output_above_its_limit_ends_the_connection;
    idle_timeout: "tests/library/stream/lifecycle.rs", silence_ends_as_idle;
    frame_timeout: "tests/library/stream/framing.rs", a_peer_that_drips_does_not_outlast_the_frame_timeout;
    close_timeout: "tests/library/options/effects.rs", a_closed_connection_has_so_long_for_what_is_left;
    linger_timeout: "tests/library/options/effects.rs", a_closed_connection_lingers_for_so_long;
    linger_time: "tests/library/options/effects.rs", a_closed_connection_lingers_for_so_long;
    max_lingering: "tests/library/stream/closing.rs", of_too_many_that_linger_the_oldest_go;
    connect_timeout: "tests/library/connect/attempts.rs", an_address_that_does_not_answer_makes_way_for_the_next;
    backlog: "src/net/tests.rs", no_more_clients_wait_than_the_backlog_says;
    nodelay: "src/net/tests.rs", nodelay_is_that_of_every_tcp_connection;
    keepalive: "src/net/tests.rs", keepalive_is_that_of_every_tcp_connection;
    keepalive_timeout: "src/net/tests.rs", keepalive_timeout_is_made_of_probes;
    user_timeout: "src/net/tests.rs", user_timeout_is_that_of_every_tcp_connection;
    reuse_address: "src/net/tests.rs", the_switches_of_listeners_are_set_as_they_say;
    reuse_port: "src/net/tests.rs", the_switches_of_listeners_are_set_as_they_say;
    v6_only: "src/net/tests.rs", the_switches_of_listeners_are_set_as_they_say;
    receive_buffer: "src/net/tests.rs", buffers_are_those_of_every_socket;
    send_buffer: "src/net/tests.rs", buffers_are_those_of_every_socket;
    max_packet_size: "tests/library/datagram/faults.rs", a_datagram_above_the_limit_is_told_as_cut_and_the_next_one_is_whole;
    packets_per_turn: "tests/library/datagram/exchange.rs", no_turn_lets_in_more_than_its_budget;
    send_queue_packets: "tests/library/datagram/faults.rs", the_queue_is_bounded_in_datagrams_and_tells_when_it_is_empty_again;
    send_queue_bytes: "tests/library/datagram/faults.rs", the_queue_is_bounded_in_bytes_too;
    accept_own_packets: "tests/library/datagram/faults.rs", two_services_of_one_loop_answer_each_other_only_if_they_may;
    broadcast: "src/net/tests.rs", the_switches_of_datagram_sockets_are_set_as_they_say;
    ttl: "src/net/tests.rs", hops_are_limited_towards_peers_of_both_families;
    multicast_ttl: "src/net/tests.rs", hops_are_limited_towards_peers_of_both_families;
    multicast_loop: "src/net/tests.rs", hops_are_limited_towards_peers_of_both_families;
    busy_poll: "tests/library/options/checks.rs", who_spins_does_not_sleep;
    post_queue: "tests/library/handle.rs", above_the_mailbox_limit_a_call_is_refused_and_room_comes_back;
    offload_threads: "tests/library/options/checks.rs", as_many_threads_work_at_once;
    lookup_threads: "tests/library/connect/names.rs",
        a_client_that_asks_for_more_names_than_there_are_threads_leaves_some_for_others;
    offload_queue: "tests/library/handle.rs", above_the_work_limit_offloading_is_refused;
}

/// The same for each setting of a [`Workers`].
const WORKERS_TESTS: &[(&str, &str, &str)] = &[
    (
        "daemon_threads",
        "tests/library/blocking/contract.rs",
        "a_shutdown_does_not_wait_for_who_is_detached",
    ),
    (
        "timeout",
        "tests/library/blocking/limits.rs",
        "one_write_takes_the_timeout_at_most_however_many_pieces_the_peer_takes",
    ),
    (
        "deadline",
        "tests/library/blocking/limits.rs",
        "who_sends_byte_by_byte_is_within_every_timeout_and_ends_at_the_deadline",
    ),
    (
        "handle_error",
        "tests/library/blocking/contract.rs",
        "a_failure_and_a_panic_reach_the_hook_once_each_and_end_that_client_alone",
    ),
    ("after_fork", "tests/python/parity/signals.rs", "after_fork"),
    ("inherit_signals", "tests/python/parity/signals.rs", "inherited"),
];

#[test]
fn each_setting_of_a_mode_has_a_test_that_is_there() {
    let source = fs::read_to_string("src/blocking/workers.rs").unwrap();
    let taken = source.split("pub fn ").skip(1).filter_map(|rest| {
        let (name, arguments) = rest.split_once('(')?;
        let by_value = arguments.trim_start().trim_start_matches("mut ").starts_with("self");
        by_value.then_some(name)
    });
    let listed: BTreeSet<&str> = WORKERS_TESTS.iter().map(|(setting, ..)| *setting).collect();
    assert_eq!(taken.collect::<BTreeSet<_>>(), listed);
    are_there(WORKERS_TESTS);
}

fn are_there(tests: &[(&str, &str, &str)]) {
    for (option, file, test) in tests {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{option}: no {test} in {file}");
    }
}

#[test]
fn each_option_has_a_test_that_is_there() {
    every_option_is_listed(Options::default());
    are_there(TESTS);
    assert_eq!(TESTS.iter().map(|(option, ..)| option).collect::<BTreeSet<_>>().len(), TESTS.len());
}
