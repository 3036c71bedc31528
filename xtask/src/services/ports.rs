//! Free loopback ports that stay ours.
//!
//! Asking the system for port 0 gives a port from the range of outgoing connections: between our
//! letting it go and the service's binding it (or between a kill and a restart of the service) any
//! client on the machine can be given the same one. So ports are taken from below that range, and a
//! file lock keeps other test runs of ours away for as long as the [`Port`] lives.
//!
//! Misuse: dropping the [`Port`] before the service frees the number for the next test.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// First port handed out, and how many there are. Linux gives outgoing connections 32768-60999.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A free port on 127.0.0.1, kept from other test runs while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The lock goes with the file, also when the process is killed.
    _lock: File,
}

impl Port {
    /// Takes a port nobody listens on.
    ///
    /// # Errors
    /// No port is free, or the folder of locks cannot be made.
    pub fn take() -> Result<Port> {
        let start = next_start();
        for step in 0..COUNT {
            if let Some(port) = Port::try_take(FIRST + (start + step) % COUNT)? {
                return Ok(port);
            }
        }
        bail!("no free port in {FIRST}..{}", FIRST + COUNT)
    }

    /// Takes just this port; `None` if it is in use, here or elsewhere.
    ///
    /// # Errors
    /// The folder of locks cannot be made or written.
    pub fn try_take(number: u16) -> Result<Option<Port>> {
        let folder = locks();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let path = folder.join(number.to_string());
        let lock =
            File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("could not lock {}", path.display()));
            }
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(free.then_some(Port { number, _lock: lock }))
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Where the locks lie: one folder per user, since another user could not write ours.
fn locks() -> PathBuf {
    std::env::temp_dir().join(format!("watershed-ports-{}", rustix::process::getuid().as_raw()))
}

/// Where to begin looking: spread over processes and over the calls of one process, so that searches
/// seldom meet.
fn next_start() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let spread = std::process::id().wrapping_mul(61).wrapping_add(call.wrapping_mul(7));
    u16::try_from(spread % u32::from(COUNT)).expect("a remainder of a u16 fits a u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_once_and_free_again_when_dropped() {
        let port = Port::take().unwrap();
        let number = port.number();
        assert!(Port::try_take(number).unwrap().is_none(), "locked by the first");
        drop(port);
        // Another test of this run may be quicker, so only a free one is asked for again.
        if let Some(again) = Port::try_take(number).unwrap() {
            assert_eq!(again.number(), number);
        }
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_given() {
        let port = Port::take().unwrap();
        let number = port.number();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        drop(port);
        assert!(Port::try_take(number).unwrap().is_none(), "{listener:?} listens");
    }

    #[test]
    fn ports_differ() {
        let ports: Vec<Port> = (0..20).map(|_| Port::take().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }
}
