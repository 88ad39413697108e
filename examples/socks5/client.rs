//! A client: greeted, asked who it is, and relayed to where it wants.

use std::io;

use socketserver::{Context, Handler, Input, Relay, TimerId};

use super::handshake::{self, Refusal, Target, Version, invalid};
use super::rules::Proxy;
use super::upstream::Upstream;

/// What one client is to say next.
#[derive(Default)]
enum Stage {
    #[default]
    Greeting,
    Login,
    Request,
    RequestV4,
    Relayed(Relay),
    /// It was answered, and is on its way out.
    Over,
}

#[derive(Default)]
pub(crate) struct Client {
    stage: Stage,
    patience: Option<TimerId>,
}

impl Client {
    /// One step of the handshake; `false` while more must come first.
    fn step(&mut self, cx: &mut Context<'_, Proxy>, input: &mut Input<'_>) -> io::Result<bool> {
        match self.stage {
            Stage::Greeting => match input.peek().first() {
                None => return Ok(false),
                Some(4) => self.stage = Stage::RequestV4,
                Some(5) => {
                    let Some(methods) = handshake::greeting(input)? else { return Ok(false) };
                    self.choose(cx, methods);
                }
                Some(_) => return Err(invalid("not a client of SOCKS 4 or 5")),
            },
            Stage::Login => {
                let Some(login) = handshake::login(input)? else { return Ok(false) };
                self.admit(cx, &login);
            }
            Stage::Request => {
                let Some(target) = handshake::request(input)? else { return Ok(false) };
                self.relay(cx, Version::V5, target)?;
            }
            Stage::RequestV4 => {
                let Some(target) = handshake::request_v4(input)? else { return Ok(false) };
                // Version 4 knows no passwords.
                let refused = cx.shared.rules.login.is_some();
                self.relay(
                    cx,
                    Version::V4,
                    if refused { Err(Refusal::NotAllowed) } else { target },
                )?;
            }
            Stage::Relayed(_) | Stage::Over => return Ok(false),
        }
        Ok(true)
    }

    /// The method of authentication: none (0), or a login (2).
    fn choose(&mut self, cx: &mut Context<'_, Proxy>, methods: &[u8]) {
        let (method, next) = match cx.shared.rules.login {
            None => (0, Stage::Request),
            Some(_) => (2, Stage::Login),
        };
        if methods.contains(&method) {
            self.stage = next;
            cx.send(&[5, method]);
        } else {
            self.dismiss(cx, &[5, 0xFF]);
        }
    }

    fn admit(&mut self, cx: &mut Context<'_, Proxy>, login: &[u8]) {
        let expected = cx.shared.rules.login.as_deref().unwrap_or_default().as_bytes();
        // Takes as long however much of it is right.
        let differ = login.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        if differ == 0 && login.len() == expected.len() {
            self.stage = Stage::Request;
            cx.send(&[1, 0]);
        } else {
            self.dismiss(cx, &[1, 1]);
        }
    }

    fn relay(
        &mut self,
        cx: &mut Context<'_, Proxy>,
        version: Version,
        target: Result<Target, Refusal>,
    ) -> io::Result<()> {
        if let Some(timer) = self.patience.take() {
            cx.io.cancel_timer(timer);
        }
        let begun = target.and_then(|target| {
            let upstream = Upstream::new(cx.id, version, &target);
            let connect = cx.shared.rules.connect_to(&target);
            let begun = connect.and_then(|connect| cx.connect(connect, upstream));
            begun.map_err(|error| Refusal::of(&error, &target))
        });
        match begun {
            Ok(upstream) => {
                let mut relay = Relay::joined_to(upstream);
                relay.start(cx)?;
                self.stage = Stage::Relayed(relay);
            }
            Err(refusal) => self.dismiss(cx, &handshake::reply(version, Err(refusal))),
        }
        Ok(())
    }

    fn dismiss(&mut self, cx: &mut Context<'_, Proxy>, answer: &[u8]) {
        cx.send(answer);
        cx.close();
        self.stage = Stage::Over;
    }
}

impl Handler<Proxy> for Client {
    fn setup(&mut self, cx: &mut Context<'_, Proxy>) -> io::Result<()> {
        cx.shared.clients += 1;
        self.patience = Some(cx.set_timer(cx.shared.rules.handshake_timeout));
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Proxy>, input: &mut Input<'_>) -> io::Result<()> {
        while self.step(cx, input)? {}
        match &mut self.stage {
            // What came right behind the request goes the same way as what comes later.
            Stage::Relayed(relay) if !input.is_empty() => relay.handle(cx, input),
            _ => Ok(()),
        }
    }

    fn eof(&mut self, cx: &mut Context<'_, Proxy>, rest: &[u8]) -> io::Result<()> {
        if let Stage::Relayed(relay) = &mut self.stage {
            return relay.eof(cx, rest);
        }
        cx.close();
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_, Proxy>) -> io::Result<()> {
        if let Stage::Relayed(relay) = &mut self.stage { relay.drained(cx) } else { Ok(()) }
    }

    fn shutdown(&mut self, cx: &mut Context<'_, Proxy>) -> io::Result<()> {
        if let Stage::Relayed(relay) = &mut self.stage {
            return relay.shutdown(cx);
        }
        cx.close();
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Proxy>, outcome: io::Result<()>) {
        cx.shared.clients -= 1;
        if let Stage::Relayed(relay) = &mut self.stage {
            relay.finish(cx, outcome);
        }
    }
}
