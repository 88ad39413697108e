//! What strace wrote down: which calls a program made, from which places, and which were failed.

use std::collections::{BTreeMap, BTreeSet};

/// One place that makes a system call: the call, the kind of descriptor, and what it is asked for.
pub(crate) type Site = String;

/// Where standard output and standard error go.
const CONSOLE: &str = "console";

/// A call as it was begun.
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) site: Site,
    /// Its number among the calls of this name in its thread, from 1: how strace counts.
    pub(crate) nth: usize,
    /// Whether the thread that began made it, and not one that came later, or a child.
    pub(crate) first_thread: bool,
    /// Whether strace failed it.
    pub(crate) injected: bool,
}

/// The calls of all threads, in order. `console` names the pipes that are standard output and standard error,
/// which the command opens once more.
pub(crate) fn read(text: &str, console: &[String]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    // The call that each thread is in, when its line was cut.
    let mut under_way: BTreeMap<String, usize> = BTreeMap::new();
    let first = text.split(' ').next().unwrap_or_default();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let injected = rest.ends_with("(INJECTED)");
        if rest.starts_with("<...") {
            if let Some(call) = under_way.remove(thread).and_then(|nth| calls.get_mut(nth)) {
                call.injected = injected;
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = counts.entry((thread.into(), name.into())).or_default();
        *nth += 1;
        if rest.ends_with("<unfinished ...>") {
            under_way.insert(thread.into(), calls.len());
        }
        let site = site(name, arguments, console);
        let first_thread = thread == first;
        calls.push(Call { name: name.into(), site, nth: *nth, first_thread, injected });
    }
    calls
}

fn site(name: &str, arguments: &str, console: &[String]) -> Site {
    let mut site = vec![name];
    let mut rest = arguments;
    // A descriptor is a number with its meaning behind it.
    while let Some(at) = rest.find('<') {
        let number = rest.get(..at).unwrap_or_default().rsplit(' ').next().unwrap_or_default();
        let end = end_of_meaning(rest, at);
        let meaning = rest.get(at + 1..end).unwrap_or_default();
        let of_poll = name == "epoll_ctl" && meaning.contains("eventpoll");
        if number.ends_with(char::is_numeric) && !of_poll {
            let is_console =
                matches!(number, "1" | "2") || console.iter().any(|pipe| pipe == meaning);
            site.push(if name == "write" && is_console { CONSOLE } else { role(meaning) });
        }
        rest = rest.get(end..).unwrap_or_default();
        if name != "epoll_ctl" {
            break;
        }
    }
    let words = arguments.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    site.extend(words.filter(|word| tells_apart(word)));
    if name == "socket" || name == "socketpair" {
        site.extend(arguments.split(',').next());
    }
    if matches!(name, "newfstatat" | "statx" | "unlink" | "unlinkat" | "connect") {
        site.push(if arguments.contains(super::play::SOCKET) { "path" } else { "other" });
    }
    site.join(" ")
}

/// Where `<...>` ends, which may hold an arrow.
fn end_of_meaning(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let ends = |at: &usize| bytes.get(*at) == Some(&b'>') && bytes.get(at - 1) != Some(&b'-');
    (from + 1..bytes.len()).find(ends).unwrap_or(bytes.len())
}

fn role(meaning: &str) -> &str {
    let (kind, what) = meaning.split_once(":[").unwrap_or((meaning, ""));
    let connected = what.contains("->");
    let named = what.contains('"');
    match kind {
        "TCP" | "TCPv6" if connected => "tcp connection",
        "TCP" | "TCPv6" => "tcp listener",
        "UDP" | "UDPv6" => "udp socket",
        "UNIX-STREAM" | "UNIX" if connected && named => "unix connection",
        "UNIX-STREAM" | "UNIX" if connected => "signals",
        "UNIX-STREAM" | "UNIX" => "unix socket",
        "UNIX-DGRAM" => "unix datagrams",
        "anon_inode" if what.starts_with("eventpoll") => "poll",
        "anon_inode" => "waker",
        "pipe" => "pipe",
        "socket" => "new socket",
        _ => "file",
    }
}

/// The constants that make one call another than the next of the same name.
fn tells_apart(word: &str) -> bool {
    let kinds = ["EPOLL_CTL_", "SO_", "TCP_", "IP_", "IPV6_", "F_", "SHUT_", "RLIMIT_", "FION"];
    kinds.iter().any(|kind| word.starts_with(kind)) || matches!(word, "SIGTERM" | "SIGINT")
}

/// The places from which `calls` came, each with the first of its calls; those of the loader and of
/// the standard library before `main` are left out.
pub(crate) fn sites<'a>(calls: impl Iterator<Item = &'a Call>) -> BTreeMap<Site, (String, usize)> {
    let mut sites = BTreeMap::new();
    for call in calls.filter(|call| is_ours(call)) {
        sites.entry(call.site.clone()).or_insert_with(|| (call.name.clone(), call.nth));
    }
    sites
}

/// The numbers of the calls of this name, in any thread, that are not to fail.
pub(crate) fn spared(calls: &[Call], name: &str) -> BTreeSet<usize> {
    let of_others = calls.iter().filter(|call| call.name == name && !is_ours(call));
    of_others.map(|call| call.nth).collect()
}

fn is_ours(call: &Call) -> bool {
    let has = |word: &str| call.site.contains(word);
    match call.name.as_str() {
        // std asks so in debug builds whether a descriptor is still open, and aborts if not.
        "fcntl" => !has("F_GETFD"),
        "rt_sigaction" => has("SIGTERM") || has("SIGINT"),
        "prlimit64" => has("RLIMIT_NOFILE"),
        "newfstatat" | "statx" | "unlink" | "unlinkat" => has("path"),
        _ => !has(" file"),
    }
}
