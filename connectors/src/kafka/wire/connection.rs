//! One broker on one blocking socket: requests out, answers back in the order of the requests.
//!
//! Several requests may be under way; a broker answers them in order, which is checked. Every wait
//! is cut into turns, so that a time limit and the wish to stop end it. After a failure other than
//! [`Failure::Refused`] a connection MUST be dropped: it may stand in the middle of a request.

pub(in crate::kafka) mod polled;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::address::Address;
use super::api::{API_VERSIONS, Api, NEEDED_TO_WRITE};
use super::bytes::{Garbled, Reader};
use super::failure::{Failure, Patience};
use super::message::versions;
use super::request::Request;

/// One turn of waiting for the socket.
const TURN: Duration = Duration::from_millis(100);
/// How long one attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Far above any answer to our requests.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// An open connection.
#[derive(Debug)]
pub(in crate::kafka) struct Connection {
    stream: TcpStream,
    address: Address,
    client: String,
    /// Of the last request.
    correlation: i32,
    /// Requests without answer yet.
    waiting: VecDeque<(i32, &'static Api)>,
    request: Request,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects, and makes sure that the broker serves all that a producer is going to ask.
    pub(in crate::kafka) fn open(
        address: &Address,
        client: &str,
        patience: &Patience,
    ) -> Result<Self, Failure> {
        Self::open_for(&NEEDED_TO_WRITE, address, client, patience)
    }

    /// Connects, and makes sure that the broker serves these requests.
    pub(in crate::kafka) fn open_for(
        needed: &[&'static Api],
        address: &Address,
        client: &str,
        patience: &Patience,
    ) -> Result<Self, Failure> {
        let broken = |error| Failure::Broken { address: address.clone(), error };
        patience.check_stopped()?;
        let stream = connect(address, patience).map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        stream.set_read_timeout(Some(TURN)).map_err(broken)?;
        stream.set_write_timeout(Some(TURN)).map_err(broken)?;
        let mut opened = Self {
            stream,
            address: address.clone(),
            client: client.to_owned(),
            correlation: 0,
            waiting: VecDeque::new(),
            request: Request::default(),
            answer: Vec::new(),
        };
        opened.check_versions(needed, patience)?;
        Ok(opened)
    }

    fn check_versions(
        &mut self,
        needed: &[&'static Api],
        patience: &Patience,
    ) -> Result<(), Failure> {
        let (code, served) = self.ask(&API_VERSIONS, patience, |_no_body| {}, versions::read)?;
        code.check().map_err(Failure::Refused)?;
        let Some((api, served)) = versions::missing(needed, &served) else { return Ok(()) };
        let (address, what, needed) = (self.address.clone(), api.name, api.version);
        Err(Failure::Unserved { address, what, served, needed })
    }

    /// One question and its answer. Nothing else may be under way.
    pub(in crate::kafka) fn ask<T>(
        &mut self,
        api: &'static Api,
        patience: &Patience,
        write: impl FnOnce(&mut Vec<u8>),
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Garbled>,
    ) -> Result<T, Failure> {
        assert!(self.waiting.is_empty(), "the next answer is to another question");
        write(&mut self.begin(api).body);
        self.send(api, &[], patience)?;
        self.receive(patience, read)
    }

    /// A request to be filled and then [sent](Self::send).
    pub(in crate::kafka) fn begin(&mut self, api: &Api) -> &mut Request {
        self.request.begin(api, &self.client);
        &mut self.request
    }

    /// Sends what was begun, with these parts where it was cut.
    pub(in crate::kafka) fn send(
        &mut self,
        api: &'static Api,
        parts: &[&[u8]],
        patience: &Patience,
    ) -> Result<(), Failure> {
        patience.check_stopped()?;
        self.correlation = self.correlation.wrapping_add(1);
        self.request.seal(self.correlation, parts);
        let mut slices = self.request.slices(parts);
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.stream.write_vectored(left) {
                Ok(0) => return Err(self.broken(ErrorKind::WriteZero.into())),
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(error) => self.bear(error, api, patience)?,
            }
        }
        self.waiting.push_back((self.correlation, api));
        Ok(())
    }

    /// The answer to the oldest request under way.
    pub(in crate::kafka) fn receive<T>(
        &mut self,
        patience: &Patience,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Garbled>,
    ) -> Result<T, Failure> {
        patience.check_stopped()?;
        let (correlation, api) = self.waiting.pop_front().expect("there is a question");
        self.read_answer(api, patience)?;
        parse(&self.answer, correlation, api.flexible, read)
            .map_err(|reason| self.garbled(api, reason))
    }

    fn read_answer(&mut self, api: &Api, patience: &Patience) -> Result<(), Failure> {
        let mut size = [0; 4];
        self.read_exact(&mut size, api, patience)?;
        let size = usize::try_from(i32::from_be_bytes(size)).ok();
        let size = size.filter(|size| *size <= ANSWER_BYTES_MAX);
        let size = size.ok_or_else(|| self.garbled(api, Garbled("its size cannot be")))?;
        let mut answer = std::mem::take(&mut self.answer);
        answer.resize(size, 0);
        let read = self.read_exact(&mut answer, api, patience);
        self.answer = answer;
        read
    }

    fn read_exact(
        &self,
        mut target: &mut [u8],
        api: &Api,
        patience: &Patience,
    ) -> Result<(), Failure> {
        while !target.is_empty() {
            match (&self.stream).read(target) {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(count) => target = &mut target[count..],
                Err(error) => self.bear(error, api, patience)?,
            }
        }
        Ok(())
    }

    /// Goes on after the end of a turn, unless it was the last one.
    fn bear(&self, error: io::Error, api: &Api, patience: &Patience) -> Result<(), Failure> {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
            _ => return Err(self.broken(error)),
        }
        patience.check_stopped()?;
        if patience.is_over() {
            return Err(Failure::Silent { address: self.address.clone(), what: api.name });
        }
        Ok(())
    }

    /// Requests without answer yet.
    pub(in crate::kafka) fn under_way(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the broker has not closed an idle connection meanwhile (after ten minutes, by
    /// default, or because it went down).
    pub(in crate::kafka) fn is_open(&self) -> bool {
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let restored = self.stream.set_nonblocking(false);
        // Bytes nobody asked for are as bad as the end.
        let idle = looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        idle && restored.is_ok() && self.waiting.is_empty()
    }

    fn broken(&self, error: io::Error) -> Failure {
        Failure::Broken { address: self.address.clone(), error }
    }

    fn garbled(&self, api: &Api, reason: Garbled) -> Failure {
        Failure::Garbled { address: self.address.clone(), what: api.name, reason }
    }
}

fn parse<'a, T>(
    answer: &'a [u8],
    correlation: i32,
    flexible: bool,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Garbled>,
) -> Result<T, Garbled> {
    let mut reader = Reader::new(answer);
    if reader.i32()? != correlation {
        return Err(Garbled("it is to another question"));
    }
    if flexible {
        reader.tags()?;
    }
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Tries all addresses of a name.
fn connect(address: &Address, patience: &Patience) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for place in (address.host.as_str(), address.port).to_socket_addrs()? {
        let limit = patience.left().clamp(TURN, CONNECT_LIMIT);
        match TcpStream::connect_timeout(&place, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests;
