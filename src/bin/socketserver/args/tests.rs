//! What is read from a command line, what is refused, and in which words.

use super::*;

fn read(line: &str) -> Result<Task, LastWords> {
    Typed::read(line.split_whitespace().map(OsString::from)).and_then(Typed::resolve)
}

#[test]
fn clap_finds_no_fault_in_the_definition() {
    Typed::command().debug_assert();
}

/// Each line there is a trial of `tests/command/options`, which falls when it is not heeded.
#[test]
fn every_option_is_named_where_it_is_tried() {
    let mut options = Vec::new();
    for command in Typed::command().get_subcommands() {
        for arg in command.get_arguments() {
            let name = match arg.get_long() {
                Some(long) => format!("--{long}"),
                None => arg.get_id().as_str().to_uppercase(),
            };
            options.push(format!("{} {name}", command.get_name()));
        }
    }
    let mut named: Vec<&str> =
        include_str!("../../../../tests/command/options/options.txt").lines().collect();
    options.sort_unstable();
    named.sort_unstable();
    assert_eq!(options, named, "options, and the lines of options.txt");
}

#[test]
fn what_was_typed_means_what_it_says() {
    let line = "socketserver serve upper --tcp 127.0.0.1:0 --unix /tmp/x --udp [::1]:0 \
                --unixgram y --high-water 1KiB \
                --busy-poll 50us --idle-timeout 500ms --max-connections 7 --grace 1m \
                --workers threads:3";
    let Ok(Task::Serve(config)) = read(line) else { panic!("refused") };
    assert_eq!(config.service, ServiceArg::Upper);
    assert_eq!(config.listeners.len(), 4);
    assert_eq!((config.options.high_water, config.options.low_water), (1_024, 256));
    assert_eq!(config.options.idle_timeout, Some(Duration::from_millis(500)));
    assert_eq!(config.options.busy_poll, Duration::from_micros(50));
    assert_eq!(config.options.max_connections, 7);
    assert_eq!(config.grace, Duration::from_secs(60));
    assert_eq!(config.workers, Some(WorkersArg::Threads(3)));
    assert_eq!(config.loops, 1);
    let line = "socketserver serve chat --tcp 127.0.0.1:0 --loops 3 --balance reuseport";
    let Ok(Task::Serve(config)) = read(line) else { panic!("refused") };
    assert_eq!((config.loops, config.balance), (3, LoadBalancing::ReusePort));
}

/// Found by the fuzz target `addresses`: the library took such an address, the command did not.
#[test]
fn an_address_may_say_on_which_interface_it_is_meant() {
    for addr in ["[fe80::1%2]:7000", "[::f000:100:0%224]:0"] {
        let line = format!("socketserver serve echo --tcp {addr} --udp {addr}");
        let Ok(Task::Serve(config)) = read(&line) else { panic!("{addr} is refused") };
        assert_eq!(config.listeners.len(), 2);
    }
}

#[test]
fn every_refusal_names_its_culprit() {
    for (line, culprit) in [
        ("serve echo", "--tcp"),
        ("serve nonsense --tcp 127.0.0.1:0", "nonsense"),
        ("serve echo --tcp 127.0.0.1", "127.0.0.1"),
        ("serve echo --tcp 127.0.0.1:99999", "99999"),
        ("serve echo --tcp 127.0.0.1:+80", "+80"),
        ("serve echo --tcp [::1]:+80", "+80"),
        ("serve echo --tcp ::1:7000", "::1:7000"),
        ("serve echo --tcp [nope]:7000", "[nope]"),
        ("serve echo --tcp :7000", ":7000"),
        ("serve echo --tcp 127.0.0.1:0 --max-connections 0", "--max-connections"),
        ("serve echo --tcp 127.0.0.1:0 --idle-timeout 5", "--idle-timeout"),
        ("serve echo --tcp 127.0.0.1:0 --high-water 1parsec", "--high-water"),
        ("serve echo --udp 127.0.0.1", "--udp"),
        ("serve chat --tcp 127.0.0.1:0 --udp 127.0.0.1:0", "--udp"),
        ("serve chat --unixgram x", "--unixgram"),
        ("serve echo --tcp 127.0.0.1:0 --loops 0", "--loops"),
        ("serve echo --tcp 127.0.0.1:0 --loops 1025", "--loops"),
        ("serve echo --tcp 127.0.0.1:0 --loops 2 --workers threads:2", "--workers"),
        ("serve echo --tcp 127.0.0.1:0 --loops 2 --balance evenly", "evenly"),
        ("serve echo --tcp 127.0.0.1:0 --balance reuseport", "--loops"),
        ("serve echo --unixgram x --loops 2", "--unixgram"),
        ("serve echo --tcp 127.0.0.1:0 --workers threads:0", "--workers"),
        ("serve echo --tcp 127.0.0.1:0 --workers fibres:2", "--workers"),
        ("serve echo --tcp 127.0.0.1:0 --workers 2", "--workers"),
        ("serve chat --tcp 127.0.0.1:0 --workers threads:2", "one room"),
        ("serve echo --tcp 127.0.0.1:0 --workers threads:2 --loops 2", "exclude"),
    ] {
        let Err(words) = read(&format!("socketserver {line}")) else { panic!("{line} passed") };
        assert_eq!(words.code(), 2, "{line}");
        assert!(words.text().contains(culprit), "{line}: {}", words.text());
    }
}

#[test]
fn what_clap_cannot_see_is_told_with_the_usage_of_its_subcommand() {
    for (line, usage) in [
        ("serve chat --tcp 127.0.0.1:0 --workers threads:2", "serve [OPTIONS] <SERVICE>"),
        ("connect localhost", "connect [OPTIONS]"),
        ("bench --tcp localhost", "bench [OPTIONS]"),
    ] {
        let Err(words) = read(&format!("socketserver {line}")) else { panic!("{line} passed") };
        let usage = format!("\n\nUsage: socketserver {usage}");
        assert!(words.text().contains(&usage), "{line}: {}", words.text());
    }
}
