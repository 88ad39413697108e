//! The one way to run code of the user, and to drop its values: panics are caught, logged at most once a
//! second for each kind of code, and dropped.
//!
//! [`ForeignCode`] lists all of that code. A value of the user may panic in its `Drop` as well, so it is
//! dropped by [`discard`], each value on its own, because two panics at once abort the process. An error
//! is formatted by [`ErrorText`], because its `Display` may panic.

use std::any::Any;
use std::fmt::{self, Display, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use log::error;

use crate::id::SocketId;
use crate::log_throttle::LogThrottle;

/// Every kind of code of the user that this library runs or drops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ForeignCode {
    /// A callback of a `Handler` or a `DatagramHandler`.
    Callback,
    /// The drop of such a handler.
    HandlerDrop,
    /// The callback of a watched source or of a timer handler.
    SourceCallback,
    /// `deregister` and the drop of a watched source.
    SourceDrop,
    /// The factory of a listener.
    Factory,
    /// The factory of a `Reconnect`.
    ReconnectFactory,
    VerifyRequest,
    ServiceActions,
    TraceCallback,
    /// A closure of `ServerHandle::post`.
    PostedCall,
    /// The first closure of `Context::offload`.
    OffloadedWork,
    /// The second closure of `Context::offload`.
    OffloadedThen,
    /// A function of `TestServer` that looks up names.
    LookUp,
    /// The filter of `Connect::allow_if`.
    AllowIf,
    /// A callback of a `blocking::Handler`.
    BlockingHandler,
    /// The hook of `Workers::handle_error`.
    ErrorHook,
    /// The `Display` or the drop of an error.
    Error,
}

impl ForeignCode {
    const COUNT: usize = ForeignCode::Error as usize + 1;

    fn name(self) -> &'static str {
        match self {
            ForeignCode::Callback => "a callback",
            ForeignCode::HandlerDrop => "the drop of a handler",
            ForeignCode::SourceCallback => "the callback of a watched source or a timer handler",
            ForeignCode::SourceDrop => "the drop of a watched source",
            ForeignCode::Factory => "the factory of a listener",
            ForeignCode::ReconnectFactory => "the factory of a Reconnect",
            ForeignCode::VerifyRequest => "verify_request",
            ForeignCode::ServiceActions => "service_actions",
            ForeignCode::TraceCallback => "the callback of set_trace",
            ForeignCode::PostedCall => "a posted call",
            ForeignCode::OffloadedWork => "offloaded work",
            ForeignCode::OffloadedThen => "the second closure of offloaded work",
            ForeignCode::LookUp => "a look-up of names",
            ForeignCode::AllowIf => "Connect::allow_if",
            ForeignCode::BlockingHandler => "a blocking handler",
            ForeignCode::ErrorHook => "Workers::handle_error",
            ForeignCode::Error => "an error of a handler",
        }
    }
}

/// Catches a panic of `code`. The payload must go to [`panicked`] or [`discard_payload`].
#[inline(always)]
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> thread::Result<T> {
    catch_unwind(AssertUnwindSafe(code))
}

/// Runs `code`; `None` when it panicked, which is logged.
#[inline]
pub(crate) fn run<T>(
    kind: ForeignCode,
    id: Option<SocketId>,
    code: impl FnOnce() -> T,
) -> Option<T> {
    match catch(code) {
        Ok(value) => Some(value),
        Err(payload) => {
            panicked(kind, id, payload);
            None
        }
    }
}

/// Drops a value of the user.
#[inline]
pub(crate) fn discard<T>(kind: ForeignCode, id: Option<SocketId>, value: T) {
    run(kind, id, || drop(value));
}

/// Drops values of the user, each on its own.
pub(crate) fn discard_all<T>(kind: ForeignCode, values: impl IntoIterator<Item = T>) {
    for value in values {
        discard(kind, None, value);
    }
}

/// Logs a panic of `kind`, at most once a second, and drops its payload.
#[cold]
#[inline(never)]
pub(crate) fn panicked(kind: ForeignCode, id: Option<SocketId>, payload: Box<dyn Any + Send>) {
    if let Some(before) = allow(kind) {
        let subject = id.map(|id| format!("{id}: ")).unwrap_or_default();
        let message = panic_message(&*payload);
        // A logger is code of the user too.
        let logged = catch(|| {
            error!("{subject}{} panicked: {message} ({before} more before)", kind.name());
        });
        if let Err(payload) = logged {
            discard_payload(payload);
        }
    }
    discard_payload(payload);
}

/// Drops the payload of a panic. When its drop panics, the payload of that panic is leaked.
#[cold]
pub(crate) fn discard_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch(|| drop(payload)) {
        std::mem::forget(second);
    }
}

/// The message of a panic, of at most 200 characters.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    message.chars().take(200).collect()
}

/// Whether a panic of `kind` may be logged now; `Some` is how many were not since the last one.
fn allow(kind: ForeignCode) -> Option<u64> {
    // Of the process, because threads without a loop run code of the user too.
    static THROTTLES: [Mutex<LogThrottle>; ForeignCode::COUNT] =
        [const { Mutex::new(LogThrottle::new()) }; ForeignCode::COUNT];
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let since = EPOCH.get_or_init(Instant::now).elapsed();
    let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let throttle = THROTTLES.get(kind as usize)?;
    throttle.lock().unwrap_or_else(PoisonError::into_inner).allow(now)
}

/// A value of the user that is dropped by [`discard`] wherever its owner is dropped.
pub(crate) struct Guarded<T> {
    kind: ForeignCode,
    value: Option<T>,
}

impl<T> Guarded<T> {
    pub(crate) fn new(kind: ForeignCode, value: T) -> Guarded<T> {
        Guarded { kind, value: Some(value) }
    }

    pub(crate) fn take(mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        discard(self.kind, None, self.value.take());
    }
}

/// Formats an error of the user, of which at most [`MAX_TEXT`] bytes are kept.
pub(crate) struct ErrorText<'a>(pub(crate) &'a dyn Display);

/// Longer than any error that a person reads.
const MAX_TEXT: usize = 4_096;

impl Display for ErrorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = BoundedText(String::new());
        // It fails when the text is cut, or when the error fails to format itself.
        let shown = run(ForeignCode::Error, None, || write!(text, "{}", self.0));
        f.write_str(&text.0)?;
        if shown.is_none() { f.write_str("(its Display panicked)") } else { Ok(()) }
    }
}

struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let left = MAX_TEXT.saturating_sub(self.0.len());
        let fits = (0..=left.min(part.len())).rev().find(|at| part.is_char_boundary(*at));
        let end = fits.unwrap_or(0);
        self.0.push_str(part.get(..end).unwrap_or_default());
        if end == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped or shown, with a payload that panics likewise.
    struct Hostile(usize);

    impl Drop for Hostile {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Hostile(self.0 - 1));
            }
        }
    }

    impl Display for Hostile {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("first")?;
            std::panic::panic_any(Hostile(self.0));
        }
    }

    #[test]
    fn a_panic_in_a_drop_in_a_payload_and_in_the_payload_of_that_ends_here() {
        for depth in 0..5 {
            discard(ForeignCode::HandlerDrop, None, Hostile(depth));
            discard_all(ForeignCode::PostedCall, [Hostile(depth), Hostile(depth)]);
            drop((Guarded::new(ForeignCode::Error, Hostile(depth)), depth));
            assert_eq!(run(ForeignCode::Callback, None, || 7), Some(7));
            let ran: Option<()> =
                run(ForeignCode::Callback, None, || std::panic::panic_any(Hostile(depth)));
            assert!(ran.is_none());
        }
    }

    #[test]
    fn an_error_that_panics_or_has_no_end_is_shown_as_far_as_it_came() {
        let hostile = std::mem::ManuallyDrop::new(Hostile(1));
        assert_eq!(ErrorText(&*hostile).to_string(), "first(its Display panicked)");
        assert_eq!(ErrorText(&"x".repeat(MAX_TEXT + 1)).to_string(), "x".repeat(MAX_TEXT));
        let cut = format!("{}é", "x".repeat(MAX_TEXT - 1));
        assert_eq!(ErrorText(&cut).to_string().len(), MAX_TEXT - 1);
    }

    #[test]
    fn each_kind_is_logged_once_a_second() {
        // Other tests panic in other kinds.
        let allowed = (0..1_000).filter(|_| allow(ForeignCode::LookUp).is_some()).count();
        assert!((1..1_000).contains(&allowed), "{allowed}");
    }
}
