//! Values of a user that panic at one touch: a call, a drop, a `Display`.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};

/// Counts the touches of all values of one run, and panics at one of them.
#[derive(Clone, Default)]
pub(crate) struct Touches(Arc<State>);

#[derive(Default)]
struct State {
    /// The touch that panics; none is touch 0.
    panics_at: usize,
    count: AtomicUsize,
    touched: Mutex<Vec<&'static str>>,
}

/// The payload of those panics; its drop panics as well, with another one that does not.
struct Payload(bool);

impl Drop for Payload {
    fn drop(&mut self) {
        if self.0 {
            panic::panic_any(Payload(false));
        }
    }
}

impl Touches {
    pub(crate) fn that_panic_at(panics_at: usize) -> Touches {
        install();
        Touches(Arc::new(State { panics_at, ..State::default() }))
    }

    pub(crate) fn touch(&self, what: &'static str) {
        let mut touched = self.0.touched.lock().unwrap();
        touched.push(what);
        drop(touched);
        if self.0.count.fetch_add(1, Ordering::SeqCst) + 1 == self.0.panics_at {
            panic::panic_any(Payload(true));
        }
    }

    /// The value whose touch has panicked.
    pub(crate) fn culprit(&self) -> Option<&'static str> {
        let touched = self.0.touched.lock().unwrap();
        touched.get(self.0.panics_at.checked_sub(1)?).copied()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }

    pub(crate) fn value(&self, what: &'static str) -> Value {
        Value { touches: self.clone(), what }
    }

    pub(crate) fn error(&self) -> io::Error {
        io::Error::other(HostileError(self.value("the drop of an error")))
    }
}

/// Touches in its drop.
pub(crate) struct Value {
    touches: Touches,
    what: &'static str,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.touches.touch(self.what);
    }
}

struct HostileError(Value);

impl fmt::Display for HostileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.touches.touch("Display of an error");
        f.write_str("hostile")
    }
}

impl fmt::Debug for HostileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.touches.touch("Debug of an error");
        f.write_str("Hostile")
    }
}

impl Error for HostileError {}

/// Formats every line and discards it.
struct Discarding;

impl log::Log for Discarding {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = record.args().to_string();
    }

    fn flush(&self) {}
}

/// Nothing is printed for the panics of these tests, and every line of the log is formatted.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Payload>() {
                before(info);
            }
        }));
        if log::set_logger(&Discarding).is_ok() {
            log::set_max_level(log::LevelFilter::Debug);
        }
    });
}

/// Plays `scenario` without a panic, and then with one at each of its touches.
pub(crate) fn at_each_touch(scenario: impl Fn(&Touches)) {
    let calm = Touches::that_panic_at(0);
    scenario(&calm);
    let most = calm.count();
    assert!(most > 0);
    for nth in 1..=most {
        let touches = Touches::that_panic_at(nth);
        let played = panic::catch_unwind(panic::AssertUnwindSafe(|| scenario(&touches)));
        if let Err(failure) = played {
            let culprit = touches.culprit().unwrap_or("none");
            std::eprintln!("with a panic at touch {nth} of {most}: {culprit}");
            panic::resume_unwind(failure);
        }
    }
}
