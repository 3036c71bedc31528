//! Everything between a broker and its clients, itself among them, and what a test does to it.
//!
//! The broker is told that it is reached here, so the markers that a coordinator sends to the leaders
//! pass by, too. A test has the markers of one transaction lost, as a broker that is killed at the wrong
//! moment loses them: the coordinator is told that they are written, and they are not. And it has the
//! connection cut over which a transaction was ended, before the answer or after it.
//!
//! It also makes a broker look older than it is, to who asks what it serves as our own client does.
//!
//! Sources of layouts: the protocol guide of Apache Kafka, `EndTxn` (key 26, version 1),
//! `WriteTxnMarkers` (key 27, versions 1 and 2), and `ApiVersions` (key 18, version 0).

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use xtask::services::kafka::{Broker, Options};

const API_VERSIONS: i16 = 18;
const END_TXN: i16 = 26;
const WRITE_TXN_MARKERS: i16 = 27;

/// When the connection is cut over which a transaction is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The broker has answered, and the client never hears it.
    BeforeAnswer,
    /// The client has heard the answer.
    AfterAnswer,
}

/// What is still to happen, once each.
#[derive(Debug, Default)]
struct Script {
    lose_markers: bool,
    cut: Option<Cut>,
}

/// The proxy. Its threads end with the test's process.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Where the broker listens, once it does.
    broker: OnceLock<String>,
    script: Mutex<Script>,
    /// The greatest version of a request that is served, as far as our client is told.
    served: Mutex<Option<(i16, i16)>>,
    /// Both ends of all connections.
    open: Mutex<Vec<[TcpStream; 2]>>,
}

impl Proxy {
    /// Listens. Who connects before there is a broker is sent away.
    fn new() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let used = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = used.clone();
                std::thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Proxy { port, shared }
    }

    /// A proxy with a broker of its own behind it, which clients reach by it only.
    pub(crate) fn before_a_broker() -> (Proxy, Broker) {
        let proxy = Proxy::new();
        let advertised = format!("PLAINTEXT://{}", proxy.address());
        let options = Options::default().with("advertised.listeners", &advertised);
        let broker = Broker::start(&options).expect("a broker of our own");
        proxy.leads_to(broker.bootstrap());
        (proxy, broker)
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The broker behind it.
    fn leads_to(&self, broker: String) {
        self.shared.broker.set(broker).expect("there is one broker");
    }

    /// The next markers are lost, and the connection that ends the transaction is cut.
    pub(crate) fn lose_markers_and_cut(&self, cut: Cut) {
        *self.shared.script() = Script { lose_markers: true, cut: Some(cut) };
    }

    /// From now on this request is served up to that version.
    pub(crate) fn serve_at_most(&self, key: i16, version: i16) {
        *self.shared.served.lock().expect("no panic under it") = Some((key, version));
    }

    /// Cuts all connections there are.
    pub(crate) fn cut_all(&self) {
        for [client, broker] in self.shared.open.lock().expect("no panic under it").drain(..) {
            both_down(&client, &broker);
        }
    }

    /// Whether all of that has happened.
    pub(crate) fn is_done(&self) -> bool {
        let script = self.shared.script();
        !script.lose_markers && script.cut.is_none()
    }
}

impl Shared {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("no panic under it")
    }

    /// Passes requests on; another thread passes their answers back.
    fn serve(self: &Arc<Shared>, mut client: TcpStream) -> io::Result<()> {
        let Some(address) = self.broker.get() else { return Ok(()) };
        let mut broker = TcpStream::connect(address)?;
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
        }
        let ends = [client.try_clone()?, broker.try_clone()?];
        self.open.lock().expect("no panic under it").push(ends);
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let back = (self.clone(), broker.try_clone()?, client.try_clone()?, asked.clone());
        std::thread::spawn(move || {
            let (shared, broker, client, asked) = back;
            drop(shared.answers(&broker, &client, &asked));
            both_down(&broker, &client);
        });
        while let Ok(frame) = read_frame(&client) {
            let (key, version) = (i16_at(&frame, 0), i16_at(&frame, 2));
            let lost = key == WRITE_TXN_MARKERS && std::mem::take(&mut self.script().lose_markers);
            if lost {
                write_frame(&mut client, &markers_written(&frame, version))?;
                continue;
            }
            // Only our own client asks for version 0 of what is served.
            let key = if key == API_VERSIONS && version != 0 { -1 } else { key };
            asked.lock().expect("no panic under it").insert(correlation(&frame, 4), key);
            write_frame(&mut broker, &frame)?;
        }
        both_down(&broker, &client);
        Ok(())
    }

    fn answers(
        &self,
        broker: &TcpStream,
        mut client: &TcpStream,
        asked: &Mutex<BTreeMap<i32, i16>>,
    ) -> io::Result<()> {
        loop {
            let mut frame = read_frame(broker)?;
            let key = asked.lock().expect("no panic under it").remove(&correlation(&frame, 0));
            if key == Some(API_VERSIONS) {
                self.look_older(&mut frame);
            }
            // Of one that is refused, there is nothing to be lost. Behind the correlation: throttle
            // time, error code.
            let ended = key == Some(END_TXN) && i16_at(&frame, 8) == 0;
            let cut = if ended { self.script().cut.take() } else { None };
            if cut != Some(Cut::BeforeAnswer) {
                write_frame(&mut client, &frame)?;
            }
            if cut.is_some() {
                return Ok(());
            }
        }
    }
}

impl Shared {
    /// Behind the correlation: error code, number of requests, then key, least and greatest version of
    /// each.
    fn look_older(&self, answer: &mut [u8]) {
        let Some((key, greatest)) = *self.served.lock().expect("no panic under it") else { return };
        for served in answer[10..].as_chunks_mut::<6>().0 {
            if i16_at(served, 0) == key {
                served[4..].copy_from_slice(&greatest.to_be_bytes());
            }
        }
    }
}

fn both_down(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        // It may be down already.
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn read_frame(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size)).expect("32 bits fit")];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(stream: &mut impl io::Write, frame: &[u8]) -> io::Result<()> {
    let size = u32::try_from(frame.len()).expect("frames are small");
    stream.write_all(&[&size.to_be_bytes(), frame].concat())
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(-1, |bytes| i16::from_be_bytes(*bytes))
}

fn correlation(bytes: &[u8], at: usize) -> i32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    i32::from_be_bytes(*found.expect("every frame has one"))
}

/// The answer to a request to write markers that says that all of them are written.
fn markers_written(request: &[u8], version: i16) -> Vec<u8> {
    let mut ask = Bytes(request);
    let (_key, _version, number) = (ask.take(2), ask.take(2), ask.take(4));
    let client = ask.take(2);
    let client = i16_at(client, 0);
    ask.take(usize::try_from(client).unwrap_or(0));
    ask.tags();
    let mut answer = [number, &[0]].concat();
    let markers = ask.count(&mut answer);
    for _ in 0..markers {
        answer.extend_from_slice(ask.take(8));
        let (_epoch, _commit) = (ask.take(2), ask.take(1));
        for _ in 0..ask.count(&mut answer) {
            let length = ask.count(&mut answer);
            answer.extend_from_slice(ask.take(length));
            for _ in 0..ask.count(&mut answer) {
                answer.extend_from_slice(ask.take(4));
                // No error, no tags.
                answer.extend_from_slice(&[0, 0, 0]);
            }
            ask.tags();
            answer.push(0);
        }
        let _coordinator = ask.take(if version >= 2 { 5 } else { 4 });
        ask.tags();
        answer.push(0);
    }
    ask.tags();
    assert!(ask.0.is_empty(), "version {version} is not understood: {:?} left", ask.0);
    answer.push(0);
    answer
}

/// A request being read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        self.0.split_off(..count).expect("the request is whole")
    }

    /// A length plus one, which is also put into the answer; all here are below 127.
    fn count(&mut self, answer: &mut Vec<u8>) -> usize {
        let byte = self.take(1)[0];
        assert!((1..0x80).contains(&byte), "more than a test needs: {byte}");
        answer.push(byte);
        usize::from(byte) - 1
    }

    fn tags(&mut self) {
        assert_eq!(self.take(1), [0], "tagged fields are not understood");
    }
}
