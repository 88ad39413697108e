//! The services, and what clients say to them and must hear.

use std::sync::OnceLock;

use super::client::{End, Step, Transcript};
use Step::{Ask, HalfClose, Hear, Leave, Say, SayAllAndEnd, Tell};

/// Clients that are there at the same time, each with its script and what it must hear.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) clients: Vec<(Vec<Step>, Transcript)>,
}

pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Whether the command has it. Else only the program `own` does.
    pub(crate) is_of_command: bool,
    pub(crate) streams: Vec<Case>,
    pub(crate) packets: Vec<Case>,
}

/// Where Python is right to say something else, and its reason. Each must be seen, or it is none.
pub(crate) struct Difference {
    /// The name of a case.
    pub(crate) case: &'static str,
    pub(crate) reason: &'static str,
    /// The client that learns of it, and what it hears of Python.
    pub(crate) client: (Vec<Step>, Transcript),
}

pub(crate) fn differences() -> Vec<Difference> {
    vec![
        Difference {
            case: "what fails or says nothing is not answered",
            reason: "Python answers each datagram, with an empty one if the handler wrote nothing",
            client: (
                vec![
                    Ask(b"silent".into()),
                    Ask(b"fail".into()),
                    Ask(b"panic".into()),
                    Ask(b"that is all".into()),
                ],
                packets([&b""[..], b"", b"", b"that is all"]),
            ),
        },
        Difference {
            case: "a long datagram",
            reason: "Python takes 8192 bytes of a datagram and drops the rest without a word",
            client: (vec![Ask(pattern(20_000))], packets([&pattern(8_192)[..]])),
        },
    ]
}

pub(crate) fn services() -> &'static [Service] {
    static SERVICES: OnceLock<Vec<Service>> = OnceLock::new();
    SERVICES.get_or_init(all_services)
}

fn all_services() -> Vec<Service> {
    vec![
        Service {
            name: "echo",
            is_of_command: true,
            streams: changing(<[u8]>::to_vec),
            packets: changing_packets(<[u8]>::to_vec)
                .into_iter()
                .chain([long_datagram()])
                .collect(),
        },
        Service {
            name: "upper",
            is_of_command: true,
            streams: changing(<[u8]>::to_ascii_uppercase),
            packets: changing_packets(<[u8]>::to_ascii_uppercase),
        },
        Service {
            name: "discard",
            is_of_command: true,
            streams: vec![
                alone("nothing but the end", vec![HalfClose], b"", End::Clean),
                alone("a lot", vec![SayAllAndEnd(pattern(1 << 20))], b"", End::Clean),
            ],
            packets: Vec::new(),
        },
        Service {
            name: "chargen",
            is_of_command: true,
            streams: vec![alone(
                "a hundred lines",
                vec![Hear(74 * 100), Leave],
                &lines(100),
                End::None,
            )],
            packets: Vec::new(),
        },
        Service { name: "hello", is_of_command: false, streams: hello(), packets: Vec::new() },
        Service {
            name: "faulty",
            is_of_command: false,
            streams: faulty(),
            packets: vec![
                Case {
                    name: "what was written before the failure is the answer",
                    clients: vec![(
                        vec![Ask(b"hi".into()), Ask(b"partial".into()), Ask(b"ho".into())],
                        packets([&b"hi"[..], b"some", b"ho"]),
                    )],
                },
                Case {
                    name: "what fails or says nothing is not answered",
                    clients: vec![(
                        vec![
                            Tell(b"silent".into()),
                            Tell(b"fail".into()),
                            Tell(b"panic".into()),
                            Ask(b"that is all".into()),
                        ],
                        packets([&b"that is all"[..]]),
                    )],
                },
            ],
        },
    ]
}

/// Conversations with a service that sends everything back, changed.
fn changing(change: fn(&[u8]) -> Vec<u8>) -> Vec<Case> {
    let all: Vec<u8> = (0..=255).collect();
    let large = pattern(3 << 20);
    let words = |who: usize| {
        let (first, second) = (format!("client {who}"), format!(", still {who}").repeat(50));
        let heard = change(format!("{first}{second}").as_bytes());
        let steps =
            vec![Say(first.clone().into()), Hear(first.len()), Say(second.into()), HalfClose];
        (steps, stream(&heard, End::Clean))
    };
    vec![
        alone("nothing but the end", vec![HalfClose], b"", End::Clean),
        alone("every byte", vec![Say(all.clone()), HalfClose], &change(&all), End::Clean),
        alone(
            "word by word",
            vec![Say(b"one".into()), Hear(3), Say(b"two".into()), Hear(3), Leave],
            &change(b"onetwo"),
            End::None,
        ),
        alone("large data", vec![SayAllAndEnd(large.clone())], &change(&large), End::Clean),
        Case { name: "many clients", clients: (0..50).map(words).collect() },
    ]
}

fn changing_packets(change: fn(&[u8]) -> Vec<u8>) -> Vec<Case> {
    let all: Vec<u8> = (0..=255).collect();
    let words = |who: usize| {
        let said: Vec<Vec<u8>> = (0..3).map(|n| format!("client {who}, {n}").into()).collect();
        let heard = packets(said.iter().map(|packet| change(packet)));
        (said.into_iter().map(Ask).collect(), heard)
    };
    vec![
        Case {
            name: "every byte, and none",
            clients: vec![(
                vec![Ask(all.clone()), Ask(Vec::new()), Ask(b"a".into())],
                packets([change(&all), Vec::new(), change(b"a")]),
            )],
        },
        Case {
            name: "as long as Python takes",
            clients: vec![(vec![Ask(pattern(8_192))], packets([change(&pattern(8_192))]))],
        },
        Case { name: "many clients", clients: (0..50).map(words).collect() },
    ]
}

/// Only for echo, since what Python does with it is listed once.
fn long_datagram() -> Case {
    let packet = pattern(20_000);
    let heard = packets([&packet[..]]);
    Case { name: "a long datagram", clients: vec![(vec![Ask(packet)], heard)] }
}

/// The service of the seeds, whose messages are what one read gives.
fn hello() -> Vec<Case> {
    let greeted = |who: usize| {
        let steps = vec![
            Hear(7),
            Say(format!("this is {who}").into()),
            Hear(5),
            Say(b"again".into()),
            Hear(5),
            Say(b"exit".into()),
        ];
        (steps, stream(b"welcomehellohello", End::Clean))
    };
    vec![
        Case { name: "hello and exit", clients: vec![greeted(0)] },
        alone("exit at once", vec![Hear(7), Say(b"exit".into())], b"welcome", End::Clean),
        alone(
            "half-close",
            vec![Hear(7), Say(b"x".into()), Hear(5), HalfClose],
            b"welcomehello",
            End::Clean,
        ),
        Case { name: "many clients", clients: (0..50).map(greeted).collect() },
    ]
}

/// A service that sends lines back and fails when it is asked to.
fn faulty() -> Vec<Case> {
    let failing = |word: &'static str| {
        let steps = vec![Say(b"one\n".into()), Hear(4), Say(format!("{word}\n").into())];
        (steps, stream(b"one\nfailing\n", End::Clean))
    };
    let fine = || {
        let steps = vec![Say(b"one\n".into()), Hear(4), Say(b"two\n".into()), HalfClose];
        (steps, stream(b"one\ntwo\n", End::Clean))
    };
    vec![
        Case { name: "an error ends its conversation", clients: vec![failing("fail")] },
        Case { name: "so does a panic", clients: vec![failing("panic")] },
        alone(
            "lines behind the error are not answered",
            vec![Say(b"one\nfail\ntwo\n".into())],
            b"one\nfailing\n",
            End::Clean,
        ),
        Case {
            name: "and no other conversation",
            clients: (0..10).flat_map(|_| [failing("fail"), fine(), failing("panic")]).collect(),
        },
    ]
}

fn alone(name: &'static str, steps: Vec<Step>, heard: &[u8], end: End) -> Case {
    Case { name, clients: vec![(steps, stream(heard, end))] }
}

fn stream(heard: &[u8], end: End) -> Transcript {
    Transcript { pieces: vec![heard.to_vec()], end }
}

fn packets(heard: impl IntoIterator<Item: Into<Vec<u8>>>) -> Transcript {
    Transcript { pieces: heard.into_iter().map(Into::into).collect(), end: End::None }
}

/// Bytes in which a missing, doubled or moved piece shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 21) as u8).collect()
}

/// What RFC 864 shows.
fn lines(n: usize) -> Vec<u8> {
    let line = |n: usize| (0..72).map(move |column| b' ' + ((n + column) % 95) as u8);
    (0..n).flat_map(|n| line(n).chain(*b"\r\n")).collect()
}
