//! Signals: being asked to stop, and hearing that a child ended.
//!
//! A handler may do next to nothing, so ours write a byte into a socket pair; whoever waits reads
//! it. Signals of one kind may be merged on the way: one MUST look at what is the case, not count.

use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

/// Signals of this process, from when it listens on.
#[derive(Debug)]
pub(crate) struct Signals {
    bell: UnixStream,
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// Listens for the signals that ask to stop (Ctrl-C, SIGTERM, the terminal closing) and for the
    /// end of children. Stopping is from now on the caller's business.
    pub(crate) fn listen() -> io::Result<Self> {
        let (bell, rope) = UnixStream::pair()?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: whoever hears the bell finds the flag up.
            signal_hook::flag::register(signal, stop.clone())?;
            signal_hook::low_level::pipe::register(signal, rope.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, rope)?;
        Ok(Self { bell, stop })
    }

    /// Waits for a signal, for at most `limit`; answers whether a stop was asked for since the last
    /// call. May return early for no reason.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<bool> {
        // A time-out of zero would mean none.
        let limit = limit.map(|limit| limit.max(Duration::from_millis(1)));
        self.bell.set_read_timeout(limit)?;
        match self.bell.read(&mut [0; 64]) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(self.stop.swap(false, Ordering::SeqCst))
    }
}

/// Calls `stop` on a thread of its own, each time a stop is asked for.
pub(crate) fn on_stop(mut stop: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(128 * 1024);
    thread.spawn(move || {
        loop {
            match signals.wait(None) {
                Ok(true) => stop(),
                Ok(false) => {}
                Err(_broken) => return,
            }
        }
    })?;
    Ok(())
}
