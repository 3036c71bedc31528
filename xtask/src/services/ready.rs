//! When a broker is ready: it answered a metadata request with itself in it.
//!
//! The broker opens its client port when it is unfenced; a metadata request works moments later. Both
//! are asked for, since a client that is told of no broker waits for its next refresh.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::READY_LIMIT;
use super::process::{POLL, tail};

/// How long one answer may take before we ask again.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Metadata, version 1, correlation id 7, no client id, no topics: Kafka protocol guide, "Metadata API"
/// (key 3). Behind the length: key, version, correlation id, length of the client id (-1 = none), count
/// of topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];

/// The longest answer we believe: one broker takes 37 bytes.
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// Waits until the broker on `port` answers and knows of so many brokers.
///
/// # Errors
/// `ended` tells of an end, or [`READY_LIMIT`] has passed; with the end of `log`.
pub(super) fn wait(
    port: u16,
    brokers: u32,
    log: &Path,
    mut ended: impl FnMut() -> Result<Option<String>>,
) -> Result<()> {
    let started = Instant::now();
    while !broker_count(port).is_ok_and(|count| count >= brokers) {
        if let Some(how) = ended()? {
            bail!("kafka ended before it was ready ({how}); {}", tail(log));
        }
        if started.elapsed() > READY_LIMIT {
            bail!("kafka did not answer on port {port} within {READY_LIMIT:?}; {}", tail(log));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// How many brokers the one on `port` knows of.
fn broker_count(port: u16) -> io::Result<u32> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&REQUEST)?;
    let length = read_u32(&mut stream)?;
    if !(8..=ANSWER_BYTES_MAX).contains(&length) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not an answer to a metadata request",
        ));
    }
    let correlation = read_u32(&mut stream)?;
    if correlation != 7 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another request"));
    }
    read_u32(&mut stream)
}

fn read_u32(stream: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
