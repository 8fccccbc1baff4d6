//! Ctrl-C and SIGTERM: a command that can stop in order does so; the program exits with 130 or 143, as the shell expects.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Set by the first signal while a command can stop in order: training ends after the current step, with a checkpoint.
pub static STOP: AtomicBool = AtomicBool::new(false);
/// Whether a command can stop in order.
static IN_ORDER: AtomicBool = AtomicBool::new(false);
/// The number of the signal; 0 if none has come.
static SIGNAL: AtomicU8 = AtomicU8::new(0);

/// The time without an end after which a message says that the command is stopping.
const PATIENCE: Duration = Duration::from_secs(1);

/// As long as it lives, the first signal sets [`STOP`]. Afterwards, or at the second signal, the program exits at once.
pub struct InOrder(());

impl Drop for InOrder {
    fn drop(&mut self) {
        IN_ORDER.store(false, Ordering::SeqCst);
    }
}

/// Lets signals end the command in order from here on.
pub fn in_order() -> Result<InOrder> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot catch signals")?;
    let signals = {
        let _entered = runtime.enter();
        Signals::listen().context("cannot catch signals")?
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(signals.handle())).context("cannot catch signals")?;
    IN_ORDER.store(true, Ordering::SeqCst);
    Ok(InOrder(()))
}

/// The signals that end a program: Ctrl-C, `kill`, and a terminal that closes.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> u8 {
        use tokio::signal::unix::SignalKind;
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or(INTERRUPT)
    }
}

/// The signals that end a program: elsewhere than on Unix, Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => INTERRUPT,
            Err(_) => std::future::pending().await,
        }
    }
}

/// The number of the signal of Ctrl-C.
const INTERRUPT: u8 = 2;

impl Signals {
    async fn handle(mut self) {
        loop {
            SIGNAL.store(self.next().await, Ordering::SeqCst);
            if !IN_ORDER.load(Ordering::SeqCst) || STOP.swap(true, Ordering::SeqCst) {
                std::process::exit(exit_code().into());
            }
            tokio::spawn(async {
                tokio::time::sleep(PATIENCE).await;
                if IN_ORDER.load(Ordering::SeqCst) {
                    // Over the progress bar, which draws itself again below.
                    let over = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
                    eprintln!("{over}stopping after this step; press Ctrl-C again to stop at once, without saving");
                }
            });
        }
    }
}

/// The exit code of a program that a signal ended: 128 and the signal's number.
pub fn exit_code() -> u8 {
    128 + SIGNAL.load(Ordering::SeqCst)
}

/// The end of a command that a signal stopped in order: no error, but no success either.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Whether an error is the end of a command that a signal stopped.
pub fn stopped_by_signal(error: &anyhow::Error) -> bool {
    let fold = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(tallow_train::Error::FoldInterrupted { .. }))
    };
    SIGNAL.load(Ordering::SeqCst) > 0 && error.chain().any(|cause| cause.is::<Interrupted>() || fold(cause))
}
