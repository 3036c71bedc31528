//! A request being written: its frame, and the places where record batches go in between.
//!
//! ```text
//!   size i32 | api key i16 | version i16 | correlation i32 | client string | [tags] | body ...
//! ```
//!
//! Batches are large and lie in buffers of their own, so they are not copied in here: the frame is
//! cut where one belongs, and frame and batches go to the socket by one gathering write.

use std::io::IoSlice;

use super::api::Api;
use super::bytes::Put;

const SIZE: std::ops::Range<usize> = 0..4;
const CORRELATION: std::ops::Range<usize> = 8..12;

/// The frame of one request after the other.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Request {
    /// Its own bytes.
    pub(in crate::kafka) body: Vec<u8>,
    cuts: Vec<usize>,
}

impl Request {
    /// Begins anew with the header of `api`.
    pub(super) fn begin(&mut self, api: &Api, client: &str) {
        self.body.clear();
        self.cuts.clear();
        self.body.i32(0);
        self.body.i16(api.key);
        self.body.i16(api.version);
        self.body.i32(0);
        self.body.string(client);
        if api.flexible {
            self.body.no_tags();
        }
    }

    /// Here come `front` and the next of the parts that are handed in when it is sent, so many bytes,
    /// with the length of both before.
    pub(in crate::kafka) fn part(&mut self, front: &[u8], bytes: usize) {
        self.body.count(front.len() + bytes);
        self.body.put(front);
        self.cuts.push(self.body.len());
    }

    /// Fills in what was not known at the beginning.
    pub(super) fn seal(&mut self, correlation: i32, parts: &[&[u8]]) {
        assert_eq!(parts.len(), self.cuts.len(), "every cut has its part");
        let all = self.body.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let size = i32::try_from(all - SIZE.len()).expect("a request is far below 2 GiB");
        self.body[SIZE].copy_from_slice(&size.to_be_bytes());
        self.body[CORRELATION].copy_from_slice(&correlation.to_be_bytes());
    }

    /// Everything in order.
    pub(super) fn slices<'a>(&'a self, parts: &[&'a [u8]]) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::with_capacity(2 * parts.len() + 1);
        let mut from = 0;
        for (cut, part) in self.cuts.iter().zip(parts) {
            slices.push(IoSlice::new(&self.body[from..*cut]));
            slices.push(IoSlice::new(part));
            from = *cut;
        }
        slices.push(IoSlice::new(&self.body[from..]));
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::api::{END_TXN, INIT_PRODUCER_ID};

    #[test]
    fn golden_bytes() {
        let mut request = Request::default();
        request.begin(&END_TXN, "me");
        request.body.i8(7);
        request.part(b"", 2);
        request.body.i8(8);
        request.seal(5, &[b"xy"]);
        let sent: Vec<u8> =
            request.slices(&[b"xy"]).iter().flat_map(|part| part.to_vec()).collect();
        assert_eq!(sent, b"\0\0\0\x14\0\x1a\0\x01\0\0\0\x05\0\x02me\x07\0\0\0\x02xy\x08");
        // The same memory, another request; a flexible header ends with its tagged fields.
        request.begin(&INIT_PRODUCER_ID, "me");
        request.seal(6, &[]);
        assert_eq!(request.body, b"\0\0\0\x0d\0\x16\0\x03\0\0\0\x06\0\x02me\0");
    }
}
