//! `chat_cluster`: over a bus that loses what it likes, every line is told once and in order, and
//! when the bus is back nothing is missing.

use std::collections::VecDeque;

use crate::bytes::Bytes;
use crate::examples::chat_cluster::cluster::{Actions, Cluster};

const SERVERS: usize = 3;
// What happens next, the lowest four bits of a byte; those above them say to which server. An act has the numbers
// up to the next one.
/// A member of the server says a line.
pub(crate) const SAY: u8 = 0;
/// The next message of the bus comes.
pub(crate) const DELIVER: u8 = 4;
/// The next message of the bus is lost.
pub(crate) const LOSE: u8 = 9;
/// The server makes itself known.
pub(crate) const WHO: u8 = 11;
/// The server is started anew.
pub(crate) const RESTART: u8 = 13;
/// The byte after it is how many lines are said.
pub(crate) const BURST: u8 = 14;
/// Everything that the bus has for the server is lost.
pub(crate) const CLEAR: u8 = 15;

/// Messages after which servers that only answer each other would never stop.
const ENDLESS: usize = 100_000;

struct World {
    servers: Vec<Server>,
    delivered: usize,
}

struct Server {
    cluster: Cluster,
    /// How often it was started anew.
    life: usize,
    said: usize,
    /// What comes from the bus, and was not heard yet.
    coming: VecDeque<Vec<u8>>,
    told: Vec<Told>,
}

/// What the members of one server were told of another: its life, and the number of its last line.
#[derive(Clone, Copy, Default)]
struct Told {
    life: usize,
    last: Option<usize>,
    skipped: usize,
    lost: usize,
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    if choices.flag() {
        anything(&mut choices);
        return;
    }
    let mut world = World { servers: (0..SERVERS).map(Server::new).collect(), delivered: 0 };
    while !choices.0.is_empty() {
        let step = choices.byte();
        let nth = usize::from(step >> 4) % SERVERS;
        match step % 16 {
            SAY..DELIVER => world.say(nth),
            DELIVER..LOSE => world.deliver(nth),
            LOSE..WHO => drop(world.servers[nth].coming.pop_front()),
            WHO..RESTART => world.who(nth),
            RESTART => world.restart(nth),
            BURST => (0..choices.below(8)).for_each(|_| world.say(nth)),
            _ => world.servers[nth].coming.clear(),
        }
    }
    world.heal();
}

/// No message whatsoever makes a server do what it should not.
fn anything(choices: &mut Bytes<'_>) {
    let mut cluster = Cluster::named("a".into());
    for nth in 0..choices.below(4) {
        cluster.say(format!("{nth}").as_bytes());
    }
    for message in choices.0.split(|byte| *byte == b'\n') {
        let Actions { tell, publish } = cluster.receive(message);
        assert!(tell.len() <= 1 && publish.len() <= 4, "{:?}", message.escape_ascii());
        let own = publish.iter().filter(|message| !message.starts_with(b"again "));
        for message in own {
            let id = message.split(|byte| *byte == b' ').nth(1);
            assert_eq!(id, Some(&b"a"[..]), "in another's name: {:?}", message.escape_ascii());
        }
    }
}

impl Server {
    fn new(nth: usize) -> Server {
        Server {
            cluster: Cluster::named(format!("{nth}-0")),
            life: 0,
            said: 0,
            coming: VecDeque::new(),
            told: vec![Told::default(); SERVERS],
        }
    }
}

impl World {
    fn publish(&mut self, messages: impl IntoIterator<Item = Vec<u8>>) {
        for message in messages {
            for server in &mut self.servers {
                server.coming.push_back(message.clone());
            }
        }
    }

    fn say(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        server.said += 1;
        let text = format!("{nth} {} {}", server.life, server.said);
        let message = server.cluster.say(text.as_bytes());
        self.publish([message]);
    }

    fn who(&mut self, nth: usize) {
        let message = self.servers[nth].cluster.who();
        self.publish([message]);
    }

    fn restart(&mut self, nth: usize) {
        let life = self.servers[nth].life + 1;
        let server =
            Server { life, cluster: Cluster::named(format!("{nth}-{life}")), ..Server::new(nth) };
        self.servers[nth] = server;
        self.who(nth);
    }

    fn deliver(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        let Some(message) = server.coming.pop_front() else { return };
        self.delivered += 1;
        let follows = server.cluster.receive(&message);
        for line in follows.tell {
            server.tell(nth, &line);
        }
        self.publish(follows.publish);
    }

    fn deliver_all(&mut self) {
        while let Some(nth) = (0..SERVERS).find(|nth| !self.servers[*nth].coming.is_empty()) {
            assert!(self.delivered < ENDLESS, "they answer each other for ever");
            self.deliver(nth);
        }
    }

    /// The bus is back: what was missed is asked for, and the next line comes to all.
    fn heal(&mut self) {
        self.deliver_all();
        for nth in 0..SERVERS {
            self.who(nth);
            self.deliver_all();
        }
        for nth in 0..SERVERS {
            self.say(nth);
            self.deliver_all();
            let (life, said) = (self.servers[nth].life, self.servers[nth].said);
            for (other, server) in
                self.servers.iter().enumerate().filter(|(other, _)| *other != nth)
            {
                let told = server.told[nth];
                assert_eq!((told.life, told.last), (life, Some(said)), "{other} missed {nth}");
                assert!(told.skipped <= told.lost, "{other} was not told what it missed");
            }
        }
    }
}

impl Server {
    fn tell(&mut self, own: usize, line: &[u8]) {
        let line = std::str::from_utf8(line).expect("what was said is text");
        if let Some(news) = line.strip_prefix("* ") {
            let lost: usize =
                news.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            for told in &mut self.told {
                told.lost += lost;
            }
            return;
        }
        let words: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [speaker, life, number] = words[..] else { panic!("nobody said {line:?}") };
        assert_ne!((speaker, life), (own, self.life), "it was told its own line");
        let told = &mut self.told[speaker];
        // A late line of a life that is over may still come, in the order of that life.
        if life < told.life {
            return;
        }
        if life > told.life {
            *told = Told { life, lost: told.lost, ..Told::default() };
        }
        if let Some(last) = told.last {
            assert!(number > last, "line {number} of {speaker} after {last}");
            told.skipped += number - last - 1;
        }
        told.last = Some(number);
    }
}
