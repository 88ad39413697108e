//! The handler of a client: greeting, login, request, then the client's half of the relay.

use std::io;

use socketserver::{Context, Handler, Input, Relay, TimerId};

use super::handshake::{self, Refusal, SocksTarget, SocksVersion, invalid};
use super::rules::ProxyState;
use super::upstream::Upstream;

/// What is expected next from the client.
#[derive(Default)]
enum HandshakeState {
    #[default]
    Greeting,
    Login,
    Request,
    RequestV4,
    Relayed(Relay),
    /// The reply is sent, and the connection closes.
    Closing,
}

#[derive(Default)]
pub(crate) struct SocksClient {
    state: HandshakeState,
    handshake_timer: Option<TimerId>,
}

impl SocksClient {
    /// One step of the handshake; `Ok(false)` if the input is not complete.
    fn step(
        &mut self,
        cx: &mut Context<'_, ProxyState>,
        input: &mut Input<'_>,
    ) -> io::Result<bool> {
        match self.state {
            HandshakeState::Greeting => match input.peek().first() {
                None => return Ok(false),
                Some(4) => self.state = HandshakeState::RequestV4,
                Some(5) => {
                    let Some(methods) = handshake::greeting(input)? else { return Ok(false) };
                    self.choose(cx, methods);
                }
                Some(_) => return Err(invalid("unknown SOCKS version")),
            },
            HandshakeState::Login => {
                let Some(login) = handshake::login(input)? else { return Ok(false) };
                self.admit(cx, &login);
            }
            HandshakeState::Request => {
                let Some(target) = handshake::request(input)? else { return Ok(false) };
                self.relay(cx, SocksVersion::V5, target)?;
            }
            HandshakeState::RequestV4 => {
                let Some(target) = handshake::request_v4(input)? else { return Ok(false) };
                // SOCKS 4 has no passwords.
                let refused = cx.shared.rules.login.is_some();
                self.relay(
                    cx,
                    SocksVersion::V4,
                    if refused { Err(Refusal::NotAllowed) } else { target },
                )?;
            }
            HandshakeState::Relayed(_) | HandshakeState::Closing => return Ok(false),
        }
        Ok(true)
    }

    /// Selects the authentication method: none (0) or username/password (2).
    fn choose(&mut self, cx: &mut Context<'_, ProxyState>, methods: &[u8]) {
        let (method, next) = match cx.shared.rules.login {
            None => (0, HandshakeState::Request),
            Some(_) => (2, HandshakeState::Login),
        };
        if methods.contains(&method) {
            self.state = next;
            cx.send(&[5, method]);
        } else {
            self.refuse(cx, &[5, 0xFF]);
        }
    }

    fn admit(&mut self, cx: &mut Context<'_, ProxyState>, login: &[u8]) {
        let expected = cx.shared.rules.login.as_deref().unwrap_or_default().as_bytes();
        // Compares in constant time.
        let differ = login.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        if differ == 0 && login.len() == expected.len() {
            self.state = HandshakeState::Request;
            cx.send(&[1, 0]);
        } else {
            self.refuse(cx, &[1, 1]);
        }
    }

    fn relay(
        &mut self,
        cx: &mut Context<'_, ProxyState>,
        version: SocksVersion,
        target: Result<SocksTarget, Refusal>,
    ) -> io::Result<()> {
        if let Some(timer) = self.handshake_timer.take() {
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
                self.state = HandshakeState::Relayed(relay);
            }
            Err(refusal) => self.refuse(cx, &handshake::reply(version, Err(refusal))),
        }
        Ok(())
    }

    fn refuse(&mut self, cx: &mut Context<'_, ProxyState>, answer: &[u8]) {
        cx.send(answer);
        cx.close();
        self.state = HandshakeState::Closing;
    }
}

impl Handler<ProxyState> for SocksClient {
    fn setup(&mut self, cx: &mut Context<'_, ProxyState>) -> io::Result<()> {
        cx.shared.clients += 1;
        self.handshake_timer = Some(cx.set_timer(cx.shared.rules.handshake_timeout));
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, ProxyState>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        while self.step(cx, input)? {}
        match &mut self.state {
            // Bytes directly after the request are relayed like later ones.
            HandshakeState::Relayed(relay) if !input.is_empty() => relay.handle(cx, input),
            _ => Ok(()),
        }
    }

    fn eof(&mut self, cx: &mut Context<'_, ProxyState>, rest: &[u8]) -> io::Result<()> {
        if let HandshakeState::Relayed(relay) = &mut self.state {
            return relay.eof(cx, rest);
        }
        cx.close();
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_, ProxyState>) -> io::Result<()> {
        if let HandshakeState::Relayed(relay) = &mut self.state {
            relay.drained(cx)
        } else {
            Ok(())
        }
    }

    fn shutdown(&mut self, cx: &mut Context<'_, ProxyState>) -> io::Result<()> {
        if let HandshakeState::Relayed(relay) = &mut self.state {
            return relay.shutdown(cx);
        }
        cx.close();
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, ProxyState>, outcome: io::Result<()>) {
        cx.shared.clients -= 1;
        if let HandshakeState::Relayed(relay) = &mut self.state {
            relay.finish(cx, outcome);
        }
    }
}
