//! A connection that never waits: one question at a time, looked after now and then.
//!
//! For who must return at once, such as a source. Opened by waiting, like any other, elsewhere; then
//! its owner asks, and polls until there is the answer. What the broker sends meanwhile lies in the
//! socket's buffer, and when that is full, with the broker: whoever does not poll is not sent more.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use super::super::address::Address;
use super::super::api::Api;
use super::super::bytes::{Garbled, Reader};
use super::super::failure::Failure;
use super::super::request::Request;
use super::{ANSWER_BYTES_MAX, Connection, parse};

/// Bytes of an answer that say how long it is.
const SIZE_BYTES: usize = 4;
/// Bytes of memory that a connection may keep for nothing.
const MEMORY_KEPT: usize = 256 << 10;

/// An open connection.
#[derive(Debug)]
pub(in crate::kafka) struct PolledConnection {
    stream: TcpStream,
    address: Address,
    client: String,
    correlation: i32,
    request: Request,
    /// Bytes of the request that have gone.
    sent: usize,
    /// Whether the answer that is to come was looked for: then the one before is gone.
    begun: bool,
    /// What was asked and not answered.
    waiting: Option<&'static Api>,
    /// Memory of answers, as long as the longest so far.
    memory: Vec<u8>,
    /// How much of an answer has come, its size included.
    filled: usize,
}

impl Connection {
    /// The same connection for who polls. Nothing may be under way.
    pub(in crate::kafka) fn polled(self) -> Result<PolledConnection, Failure> {
        assert!(self.waiting.is_empty(), "the next answer is to another question");
        self.stream.set_nonblocking(true).map_err(|error| self.broken(error))?;
        Ok(PolledConnection {
            stream: self.stream,
            address: self.address,
            client: self.client,
            correlation: self.correlation,
            request: self.request,
            sent: 0,
            begun: false,
            waiting: None,
            memory: self.answer,
            filled: 0,
        })
    }
}

impl PolledConnection {
    /// Where the broker is.
    pub(in crate::kafka) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether an answer is to come.
    pub(in crate::kafka) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// How much of it is here, bytes.
    pub(in crate::kafka) fn received(&self) -> usize {
        if self.is_waiting() && self.begun { self.filled } else { 0 }
    }

    /// Asks. Nothing may be under way; the last answer stays until the next poll.
    pub(in crate::kafka) fn ask(
        &mut self,
        api: &'static Api,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Failure> {
        assert!(self.waiting.is_none(), "one question at a time");
        self.request.begin(api, &self.client);
        write(&mut self.request.body);
        self.correlation = self.correlation.wrapping_add(1);
        self.request.seal(self.correlation, &[]);
        (self.sent, self.waiting, self.begun) = (0, Some(api), false);
        self.send()
    }

    fn send(&mut self) -> Result<(), Failure> {
        while let Some(rest) = self.request.body.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match (&self.stream).write(rest) {
                Ok(0) => return Err(self.broken(ErrorKind::WriteZero.into())),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// Goes on sending and receiving, as far as that goes without waiting; true once the answer is
    /// here. From then on it can be [read](Self::read).
    pub(in crate::kafka) fn poll(&mut self) -> Result<bool, Failure> {
        let Some(api) = self.waiting else { return Ok(false) };
        self.send()?;
        if !std::mem::replace(&mut self.begun, true) {
            self.let_go_of_memory();
            self.filled = 0;
        }
        if !self.fill(SIZE_BYTES)? {
            return Ok(false);
        }
        let size = self.memory.first_chunk().map(|size| i32::from_be_bytes(*size));
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size <= ANSWER_BYTES_MAX);
        let size = size.ok_or_else(|| self.garbled(api, Garbled("its size cannot be")))?;
        if !self.fill(SIZE_BYTES + size)? {
            return Ok(false);
        }
        self.waiting = None;
        Ok(true)
    }

    /// After a long answer and a short one no more long ones are expected.
    fn let_go_of_memory(&mut self) {
        if self.memory.len() > MEMORY_KEPT && self.filled <= MEMORY_KEPT {
            self.memory = Vec::new();
        }
    }

    /// Receives until there are so many bytes; false if they are not here yet.
    fn fill(&mut self, upto: usize) -> Result<bool, Failure> {
        if self.memory.len() < upto {
            self.memory.resize(upto, 0);
        }
        while self.filled < upto {
            match (&self.stream).read(&mut self.memory[self.filled..upto]) {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(true)
    }

    /// Reads the answer that [`poll`](Self::poll) has told of.
    pub(in crate::kafka) fn read<'a, T>(
        &'a self,
        api: &'static Api,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Garbled>,
    ) -> Result<T, Failure> {
        parse(self.answer(), self.correlation, api.flexible, read)
            .map_err(|reason| self.garbled(api, reason))
    }

    /// The bytes of the answer.
    pub(in crate::kafka) fn answer(&self) -> &[u8] {
        self.memory.get(SIZE_BYTES..self.filled).unwrap_or_default()
    }

    fn broken(&self, error: io::Error) -> Failure {
        Failure::Broken { address: self.address.clone(), error }
    }

    fn garbled(&self, api: &Api, reason: Garbled) -> Failure {
        Failure::Garbled { address: self.address.clone(), what: api.name, reason }
    }
}
