//! A connection against a listener that says what a test wants said.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::kafka::wire::api::{END_TXN, INIT_PRODUCER_ID, NEEDED_TO_WRITE};
use crate::kafka::wire::bytes::Put as _;
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::failure::Stopped;

/// A broker that gives these answers, each to one request, and then says nothing more. Each answer
/// gets the correlation of its request plus `shift`. What it was asked is its result.
struct Broker {
    address: Address,
    asked: JoinHandle<Vec<Vec<u8>>>,
}

impl Broker {
    fn answering(answers: Vec<Vec<u8>>, shift: i32) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            for answer in answers {
                asked.push(one(&mut stream));
                let last: &Vec<u8> = asked.last().unwrap();
                let correlation = i32::from_be_bytes(*last[4..].first_chunk().unwrap());
                let mut bytes = Vec::new();
                bytes.count(answer.len() + 4);
                // The first answer is to the question for versions.
                bytes.i32(correlation + if asked.len() > 1 { shift } else { 0 });
                bytes.put(&answer);
                stream.write_all(&bytes).unwrap();
            }
            // Until the other side has gone.
            drop(stream.read_to_end(&mut Vec::new()));
            asked
        });
        Broker { address: Address { host: "127.0.0.1".to_owned(), port }, asked }
    }

    fn open(&self) -> Result<Connection, Failure> {
        Connection::open(&self.address, "me", &patience())
    }
}

/// One request without its size.
fn one(stream: &mut TcpStream) -> Vec<u8> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut request = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut request).unwrap();
    request
}

fn patience() -> Patience {
    Patience::stubborn(Duration::from_secs(10))
}

/// The answer of a broker that serves all we need in these versions at most.
fn serving(last: i16) -> Vec<u8> {
    let mut answer = Vec::new();
    answer.i16(0);
    answer.count(NEEDED_TO_WRITE.len());
    for api in NEEDED_TO_WRITE {
        answer.i16(api.key);
        answer.i16(0);
        answer.i16(last);
    }
    answer
}

#[test]
fn questions_are_answered_in_order() {
    let flexible = b"\0ab".to_vec();
    let broker = Broker::answering(vec![serving(20), b"x".to_vec(), b"y".to_vec(), flexible], 0);
    let mut connection = broker.open().unwrap();
    for body in [&b"one"[..], b"two"] {
        let request = connection.begin(&END_TXN);
        request.part(b"", body.len());
        connection.send(&END_TXN, &[body], &patience()).unwrap();
    }
    assert_eq!(connection.under_way(), 2);
    assert_eq!(
        connection.receive(&patience(), |reader| reader.i8()).unwrap(),
        i8::try_from(b'x').unwrap()
    );
    assert_eq!(
        connection.receive(&patience(), |reader| reader.i8()).unwrap(),
        i8::try_from(b'y').unwrap()
    );
    let answer = connection.ask(&INIT_PRODUCER_ID, &patience(), |_| {}, |reader| reader.i16());
    assert_eq!(answer.unwrap().to_be_bytes(), *b"ab");
    assert!(connection.is_open());
    drop(connection);
    let asked = broker.asked.join().unwrap();
    assert_eq!(asked[0], b"\0\x12\0\0\0\0\0\x01\0\x02me");
    assert_eq!(asked[1], b"\0\x1a\0\x01\0\0\0\x02\0\x02me\0\0\0\x03one");
}

#[test]
fn a_broker_of_another_age_is_named() {
    let broker = Broker::answering(vec![serving(2)], 0);
    let text = broker.open().unwrap_err().to_string();
    assert!(text.contains("serves Produce in versions 0 to 2, and version 8 is needed"), "{text}");
}

#[test]
fn what_is_no_answer_is_refused() {
    for (answer, shift, reason) in [
        (b"x".to_vec(), 1, "another question"),
        (b"xy".to_vec(), 0, "longer"),
        (vec![], 0, "too soon"),
    ] {
        let broker = Broker::answering(vec![serving(20), answer], shift);
        let mut connection = broker.open().unwrap();
        let failure =
            connection.ask(&END_TXN, &patience(), |_| {}, |reader| reader.i8()).unwrap_err();
        assert!(matches!(failure, Failure::Garbled { .. }), "{failure}");
        assert!(failure.to_string().contains(reason), "{failure}");
    }
}

#[test]
fn waiting_ends_by_its_limit_and_by_the_wish_to_stop() {
    let broker = Broker::answering(vec![serving(20)], 0);
    let mut connection = broker.open().unwrap();
    let short = Patience::stubborn(Duration::ZERO);
    let failure = connection.ask(&END_TXN, &short, |_| {}, |reader| reader.i8()).unwrap_err();
    assert!(matches!(failure, Failure::Silent { what: "EndTxn", .. }), "{failure}");
    // Told to stop once it waits for the answer.
    let asked = AtomicUsize::new(0);
    let stopped: Stopped = Arc::new(move || asked.fetch_add(1, Ordering::Relaxed) > 1);
    let told = Patience::new(Duration::from_secs(60), &stopped);
    let broker = Broker::answering(vec![serving(20)], 0);
    let mut connection = broker.open().unwrap();
    let failure = connection.ask(&END_TXN, &told, |_| {}, |reader| reader.i8()).unwrap_err();
    assert!(matches!(failure, Failure::Stopped), "{failure}");
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    let broker = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        one(&mut stream);
        let answer = serving(20);
        let mut bytes = Vec::new();
        bytes.count(answer.len() + 4);
        bytes.i32(1);
        bytes.put(&answer);
        stream.write_all(&bytes).unwrap();
    });
    let connection = Connection::open(&address, "me", &patience()).unwrap();
    broker.join().unwrap();
    // The end of the stream may take a moment to come.
    let limit = patience();
    while connection.is_open() {
        assert!(!limit.is_over());
        std::thread::yield_now();
    }
    // Nobody listens any more.
    let failure = Connection::open(&address, "me", &patience()).unwrap_err();
    assert!(matches!(failure, Failure::Broken { .. }), "{failure}");
    assert_eq!(Failure::Refused(ErrorCode(47)).code(), Some(ErrorCode::INVALID_PRODUCER_EPOCH));
}
