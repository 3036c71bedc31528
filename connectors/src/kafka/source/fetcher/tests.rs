//! A fetcher against listeners that say what a test wants said.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::kafka::wire::address::Address;
use crate::kafka::wire::batch::{Stamp, of_rows};
use crate::kafka::wire::connection::Connection;
use crate::kafka::wire::connection::polled::PolledConnection;
use crate::kafka::wire::failure::Patience;

const NODE: i32 = 1;
const TOPIC: [u8; 16] = [7; 16];
const PLACE: Place = Place { topic: 0, number: 0 };

/// Five records from offset 10 on.
fn records() -> Vec<u8> {
    let rows = [b"a", b"b", b"c", b"d", b"e"].map(|value| (None, Some(&value[..])));
    let mut bytes = of_rows(&rows, &[], Stamp { producer: 5, epoch: 0, sequence: 0 });
    bytes[7] = 10;
    bytes
}

/// The answer to a fetch of the partition.
fn fetched() -> Vec<u8> {
    let records = records();
    // Neither throttled nor failed, no session, one topic with one partition, all its offsets, nothing
    // aborted, no other replica.
    let mut answer =
        [&[0; 11][..], &[2], &TOPIC, &[2], &[0; 6], &[0; 24], &[1], &[0xff; 4]].concat();
    let length = u8::try_from(records.len() + 1).unwrap();
    assert!(length < 0x80, "one byte as a variable number");
    answer.push(length);
    answer.extend(records);
    answer.extend([0; 3]);
    answer
}

/// One request; what is answered to it.
fn serve(stream: &mut TcpStream, answer: &[u8]) {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut request = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut request).unwrap();
    let size = u32::try_from(answer.len() + 4).unwrap();
    stream.write_all(&[&size.to_be_bytes()[..], &request[4..8], answer].concat()).unwrap();
}

/// The leader at an address of its own: answers one fetch, and says nothing more.
fn leader() -> (i32, PolledConnection) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // It serves nothing, and nothing is demanded.
        serve(&mut stream, &[0; 6]);
        serve(&mut stream, &fetched());
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let (address, patience) = (Address { host: "127.0.0.1".into(), port }, patience());
    (NODE, Connection::open_for(&[], &address, "me", &patience).unwrap().polled().unwrap())
}

fn patience() -> Patience {
    Patience::stubborn(Duration::from_secs(10))
}

fn found(opened: (i32, PolledConnection)) -> Found {
    let (name, partitions) = ("t".to_owned(), vec![(PLACE.number, NODE)]);
    let topic = Named { code: ErrorCode::NONE, name, id: TOPIC, partitions };
    Found { topics: vec![topic], opened: vec![opened], failed: None }
}

/// Polls until there are `upto` records.
fn read(fetcher: &mut Fetcher, got: &mut Vec<(u64, Vec<u8>)>, upto: usize) {
    let patience = patience();
    while got.len() < upto {
        assert!(!patience.is_over(), "only {got:?}");
        let budget = PollBudget { rows: upto - got.len(), bytes: 1000 };
        let now = Moment { wall_ms: 0, tick_us: 0 };
        fetcher.poll(budget, now, &mut |_, offset, _, value| {
            got.push((offset, value.unwrap().to_vec()));
        });
        std::thread::yield_now();
    }
}

#[test]
fn what_a_lost_leader_has_sent_and_nobody_took_comes_from_the_next() {
    let limits = Limits { wait_ms: 50, least_bytes: 1, bytes: 1000, partition_bytes: 1000 };
    let settings = Settings { bootstrap: Vec::new(), client: "me".into(), limits };
    let mut fetcher = Fetcher::start(vec!["t".into()], settings).unwrap();
    fetcher.assign(PLACE, TopicId::new(TOPIC), 11);
    fetcher.found(found(leader()));
    let mut got = Vec::new();
    read(&mut fetcher, &mut got, 2);
    // It is at another address by now.
    fetcher.found(found(leader()));
    read(&mut fetcher, &mut got, 4);
    let expected = [(11, b"b"), (12, b"c"), (13, b"d"), (14, b"e")];
    assert_eq!(got, expected.map(|(offset, value)| (offset, value.to_vec())));
}
