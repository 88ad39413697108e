use super::*;
use crate::id::Slots;

fn ids(n: usize) -> Vec<SocketId> {
    let mut slots = Slots::new();
    (0..n).map(|_| SocketId(slots.insert_with(|_| ()).unwrap())).collect()
}

fn client(n: u8) -> Owner {
    Owner::client(IpAddr::from([10, 0, 0, n]))
}

/// The names whose look-ups may start now.
fn started(names: &mut Names) -> Vec<String> {
    std::iter::from_fn(|| names.next()).collect()
}

#[test]
fn equal_names_are_looked_up_once_for_all_that_wait() {
    let ids = ids(4);
    let mut names = Names::new(8);
    names.request("a", client(1), ids[0]);
    names.request("a", client(2), ids[1]);
    assert_eq!(started(&mut names), ["a"]);
    names.request("a", client(3), ids[2]);
    assert_eq!(started(&mut names), Vec::<String>::new());
    names.cancel("a", ids[1]);
    assert_eq!(names.finish("a"), [ids[0], ids[2]]);
    names.request("a", client(1), ids[3]);
    assert_eq!(started(&mut names), ["a"], "the answer was for those who asked before");
}

#[test]
fn an_owner_occupies_no_more_threads_than_it_leaves() {
    let ids = ids(200);
    let mut names = Names::new(8);
    for (nth, id) in ids[..100].iter().enumerate() {
        names.request(&format!("slow{nth}"), client(1), *id);
    }
    assert_eq!(started(&mut names).len(), 4, "half of them");
    for (nth, owner) in (2..6).enumerate() {
        names.request(&format!("other{nth}"), client(owner), ids[100 + nth]);
        assert_eq!(started(&mut names), [format!("other{nth}")]);
    }
    names.request("one more", client(7), ids[110]);
    assert_eq!(started(&mut names), Vec::<String>::new(), "no thread is left");
    assert_eq!(names.finish("slow0"), [ids[0]]);
    assert_eq!(started(&mut names), ["one more"], "its turn comes before that of who holds many");
}

#[test]
fn owners_take_turns() {
    let ids = ids(20);
    let mut names = Names::new(1);
    for nth in 0..3 {
        names.request(&format!("a{nth}"), client(1), ids[nth]);
        names.request(&format!("b{nth}"), client(2), ids[10 + nth]);
    }
    let mut order = Vec::new();
    while let Some(host) = names.next() {
        names.finish(&host);
        order.push(host);
    }
    assert_eq!(order, ["a0", "b0", "a1", "b1", "a2", "b2"]);
}

#[test]
fn a_cancelled_name_is_not_looked_up_and_leaves_nothing() {
    let ids = ids(6);
    let mut names = Names::new(1);
    names.request("under way", client(1), ids[0]);
    assert_eq!(started(&mut names), ["under way"]);
    names.request("waiting", client(1), ids[1]);
    names.request("waiting", client(2), ids[2]);
    names.cancel("waiting", ids[1]);
    assert_eq!(names.queues.len(), 1, "only who still waits has a turn");
    names.cancel("waiting", ids[2]);
    names.cancel("under way", ids[0]);
    assert_eq!(names.finish("under way"), []);
    assert_eq!(started(&mut names), Vec::<String>::new());
    assert!(names.lookups.is_empty() && names.queues.is_empty() && names.threads.is_empty());
    assert!(names.turns.is_empty());
    assert_eq!(names.running, 0);
}

#[test]
fn a_name_queued_for_another_owner_too_may_start_earlier() {
    let ids = ids(20);
    let mut names = Names::new(4);
    for (nth, id) in ids[..10].iter().enumerate() {
        names.request(&format!("n{nth}"), client(1), *id);
    }
    assert_eq!(started(&mut names), ["n0", "n1"]);
    names.request("n9", client(2), ids[10]);
    assert_eq!(started(&mut names), ["n9"]);
    assert_eq!(names.finish("n9"), [ids[9], ids[10]]);
}

#[test]
fn owners_are_addresses_and_ipv6_networks() {
    let of = |text: &str| Owner::client(text.parse().unwrap());
    assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
}

/// A xorshift generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// The names, and what they should be.
struct Checked {
    names: Names,
    ids: Vec<SocketId>,
    waiting: Vec<(String, SocketId)>,
    running: Vec<String>,
}

impl Checked {
    fn ask(&mut self, random: &mut Random) {
        let id = self.ids.iter().find(|id| !self.waiting.iter().any(|(_, one)| one == *id));
        let host = format!("h{}", random.below(8));
        self.names.request(&host, client(random.below(4) as u8), *id.unwrap());
        self.waiting.push((host, *id.unwrap()));
    }

    fn forget(&mut self, random: &mut Random) {
        let (host, id) = self.waiting.swap_remove(random.below(self.waiting.len()));
        self.names.cancel(&host, id);
    }

    fn done(&mut self, random: &mut Random) {
        let host = self.running.swap_remove(random.below(self.running.len()));
        let mut answered = self.names.finish(&host);
        let of_host = self.waiting.iter().filter(|(one, _)| *one == host);
        let mut expected: Vec<SocketId> = of_host.map(|(_, id)| *id).collect();
        self.waiting.retain(|(one, _)| *one != host);
        answered.sort_unstable();
        expected.sort_unstable();
        assert_eq!(answered, expected);
    }

    fn start(&mut self) {
        for host in started(&mut self.names) {
            assert!(!self.running.contains(&host), "{host} twice");
            assert!(self.waiting.iter().any(|(one, _)| *one == host), "{host} for nothing");
            self.running.push(host);
        }
    }

    fn check(&self) {
        let names = &self.names;
        assert!(self.running.len() <= names.max_threads && self.running.len() == names.running);
        assert_eq!(names.turns.len(), names.queues.len());
        for (owner, queue) in &names.queues {
            assert_eq!(names.turns.get(&queue.turn), Some(owner));
            assert!(!queue.hosts.is_empty() && queue.hosts.len() == queue.places.len());
            let wanted = |host| self.waiting.iter().any(|(one, _)| one == host);
            assert!(queue.hosts.values().all(wanted), "{names:?}");
        }
        let idle = names.max_threads > names.running;
        let without = names.queues.keys().any(|owner| !names.threads.contains_key(owner));
        assert!(!(idle && without), "{names:?}");
    }
}

/// Random requests, cancellations and answers: there are never more threads than allowed, never two
/// for one name, and no thread is idle while an owner without a thread waits.
#[test]
fn no_thread_too_many_and_none_idle_while_an_owner_without_any_waits() {
    let ids = ids(40);
    for seed in 0..2_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let names = Names::new(1 + random.below(5));
        let (waiting, running) = (Vec::new(), Vec::new());
        let mut checked = Checked { names, ids: ids.clone(), waiting, running };
        for _ in 0..60 {
            match random.below(4) {
                0 | 1 if checked.waiting.len() < ids.len() => checked.ask(&mut random),
                2 if !checked.waiting.is_empty() => checked.forget(&mut random),
                3 if !checked.running.is_empty() => checked.done(&mut random),
                _ => {}
            }
            checked.start();
            checked.check();
        }
        for host in checked.running {
            checked.names.finish(&host);
            started(&mut checked.names);
        }
    }
}
