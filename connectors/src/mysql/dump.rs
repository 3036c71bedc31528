//! The log as the server sends it, event by event, each one known or refused.
//!
//! `mysql_common` passes over what it does not know. Here nothing is passed over unless it is on a
//! list: an event that nobody reads may be rows that nobody gets. Its other weaknesses that are made
//! up for here (0.37.3; specification capture.md 8.4): checksums are kept but not verified, and the
//! first rotate event of a MariaDB still has its own behind the file name.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use mysql_async::binlog::events::{
    Event, ExecuteLoadQueryEvent, GtidEvent, QueryEvent, RotateEvent, TableMapEvent,
};
use mysql_async::binlog::{BinlogChecksumAlg, EventFlags};
use mysql_async::{BinlogStream, BinlogStreamRequest, Sid};

use super::config::MysqlTableConfig;
use super::gtid::{Gtid, Gtids};
use super::position::{Flavour, Place};
use super::session::{Server, Session, within};
use super::statement::TableName;
use super::transaction::{Header, Item, Stop};
use super::trouble::Trouble;

/// Event types by number: those above 41 are not in `mysql_common`, 160 to 168 are MariaDB's own.
mod number {
    pub(super) const QUERY: u8 = 2;
    pub(super) const ROTATE: u8 = 4;
    pub(super) const FORMAT: u8 = 15;
    pub(super) const XID: u8 = 16;
    pub(super) const EXECUTE_LOAD: u8 = 18;
    pub(super) const TABLE_MAP: u8 = 19;
    pub(super) const INCIDENT: u8 = 26;
    pub(super) const HEARTBEAT: u8 = 27;
    pub(super) const GTID: u8 = 33;
    pub(super) const ANONYMOUS_GTID: u8 = 34;
    pub(super) const XA_PREPARE: u8 = 38;
    pub(super) const PAYLOAD: u8 = 40;
    pub(super) const HEARTBEAT_V2: u8 = 41;
    pub(super) const TAGGED_GTID: u8 = 42;
    pub(super) const MARIADB_GTID: u8 = 162;
    pub(super) const COMPRESSED_QUERY: u8 = 165;
}

/// Events of rows: version 1 and 2, and partial updates.
const ROWS: &[u8] = &[23, 24, 25, 30, 31, 32, 39];
/// MariaDB's compressed rows.
const COMPRESSED_ROWS: &[u8] = &[166, 167, 168];
/// Events that say nothing to us: stop, variables of statements, begin of a load, row query, previous
/// GTIDs, group replication's two; MariaDB's annotation, checkpoint and GTID list.
const SILENT: &[u8] = &[3, 5, 13, 14, 17, 29, 35, 36, 37, 160, 161, 163];

/// A table id that stands for no table: it only ends a statement.
const NO_TABLE: u64 = 0x00ff_ffff;

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// Behind what is in this place: by GTID set if it has one, else by file and offset.
    Behind(&'a Place),
    /// The same, and the stream ends where the log ends now.
    Window(&'a Place),
}

/// One event.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) item: Item,
    pub(super) header: Header,
    pub(super) event: Event,
}

/// A stream of the log.
pub(super) struct Dump {
    stream: BinlogStream,
    server: Server,
    /// A format description came: from then on checksums are cut off by `mysql_common`.
    described: bool,
}

impl Dump {
    /// Asks the server for its log.
    pub(super) async fn open(
        config: &MysqlTableConfig,
        server: &Server,
        server_id: u32,
        begin: Begin<'_>,
    ) -> Result<Self, Trouble> {
        let (Begin::Behind(place) | Begin::Window(place)) = begin;
        let mut session = Session::connect(config).await?;
        let period = config.heartbeat.as_nanos();
        session.run(&format!("SET @master_heartbeat_period={period}")).await?;
        session.run(&format!("SET @source_heartbeat_period={period}")).await?;
        let mut request = BinlogStreamRequest::new(server_id);
        if matches!(begin, Begin::Window(_)) {
            request = request.with_non_blocking();
        }
        request = match &place.gtids {
            Gtids::Mysql(set) => {
                let sids = set.texts().map(|text| text.parse::<Sid<'_>>());
                let sids = sids.collect::<Result<Vec<_>, _>>();
                let sids = sids.map_err(|_unlikely| Trouble::odd("our own GTID set"))?;
                request.with_gtid().with_gtid_set(sids)
            }
            Gtids::None => at_offset(request, place)?,
            Gtids::MariaDb(last) => {
                session.run("SET @mariadb_slave_capability=4").await?;
                if place.offset <= u64::from(u32::MAX) {
                    at_offset(request, place)?
                } else {
                    // A command takes 32 bits of an offset; behind that only a GTID leads.
                    session.run(&format!("SET @slave_connect_state='{last}'")).await?;
                    session.run("SET @slave_gtid_strict_mode=0").await?;
                    request
                }
            }
        };
        let limit = config.connect_timeout;
        let stream = within(limit, session.into_conn().get_binlog_stream(request)).await?;
        Ok(Self { stream, server: server.clone(), described: false })
    }

    /// The next event; `None` at the end of a window. Any event, heartbeats included, must come
    /// within `limit`.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Option<Logged>, Trouble> {
        let event = poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx));
        let event = match tokio::time::timeout(limit, event).await {
            Err(_elapsed) => return Err(Trouble::silent(limit)),
            Ok(None) => return Ok(None),
            Ok(Some(Ok(event))) => event,
            Ok(Some(Err(error))) => return Err(refused(error)),
        };
        check_sum(&event)?;
        let header = Header {
            end: if is_artificial(&event) { 0 } else { event.header().log_pos() },
            bytes: event.header().event_size(),
        };
        let item = self.item(&event)?;
        Ok(Some(Logged { item, header, event }))
    }

    /// The columns of the table that an event of rows is about.
    pub(super) fn map_of(&self, event: &Event) -> Option<&TableMapEvent<'static>> {
        self.stream.get_tme(table_id(event.data())?)
    }

    fn item(&mut self, event: &Event) -> Result<Item, Trouble> {
        let kind = event.header().event_type_raw();
        match kind {
            number::FORMAT => {
                self.described = true;
                Ok(Item::Skip)
            }
            number::ROTATE => self.rotate(event),
            number::QUERY | number::EXECUTE_LOAD => query(event),
            number::XID => Ok(Item::Xid),
            number::GTID | number::TAGGED_GTID => gtid(event),
            number::ANONYMOUS_GTID => Ok(Item::Gtid { gtid: None, standalone: false }),
            number::MARIADB_GTID => mariadb_gtid(event),
            number::XA_PREPARE => {
                let one_phase = event.data().first().is_some_and(|byte| *byte != 0);
                Ok(Item::XaPrepare { one_phase })
            }
            number::PAYLOAD => Ok(Item::Payload),
            number::TABLE_MAP | number::HEARTBEAT | number::HEARTBEAT_V2 => Ok(Item::Skip),
            number::INCIDENT => Err(stop("the server lost changes (an incident event)", None)),
            number::COMPRESSED_QUERY => Err(compressed()),
            _ if ROWS.contains(&kind) => self.rows(event),
            _ if COMPRESSED_ROWS.contains(&kind) => match self.rows(event)? {
                Item::Rows => Err(compressed()),
                other => Ok(other),
            },
            _ if SILENT.contains(&kind) || is_ignorable(event) => Ok(Item::Skip),
            _ => Err(stop(&format!("an event of unknown type {kind}"), None)),
        }
    }

    fn rotate(&self, event: &Event) -> Result<Item, Trouble> {
        let rotate: RotateEvent<'_> = event.read_event().map_err(broken)?;
        let name = rotate.name_raw();
        let with_sum =
            !self.described && self.server.flavour == Flavour::MariaDb && self.server.checksum;
        let name =
            if with_sum { name.split_last_chunk::<4>().map(|(name, _)| name) } else { Some(name) };
        let name =
            name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| is_file(name));
        let Some(file) = name else {
            return Err(Trouble::Broken(format!("could not read a file name {:?}", rotate.name())));
        };
        Ok(Item::Rotate { file: file.to_owned(), offset: rotate.position() })
    }

    fn rows(&self, event: &Event) -> Result<Item, Trouble> {
        if table_id(event.data()) == Some(NO_TABLE) {
            return Ok(Item::OtherRows);
        }
        let Some(map) = self.map_of(event) else {
            return Err(Trouble::Broken("could not tell the table of some rows".to_owned()));
        };
        let TableName { .. } = &self.server.name;
        let ours = self.server.name.is(&map.database_name(), &map.table_name());
        Ok(if ours { Item::Rows } else { Item::OtherRows })
    }
}

fn at_offset<'a>(
    request: BinlogStreamRequest<'a>,
    place: &'a Place,
) -> Result<BinlogStreamRequest<'a>, Trouble> {
    if place.offset > u64::from(u32::MAX) {
        return Err(stop(
            "an offset above 4 GiB, which only a GTID can lead to",
            Some("set gtid_mode=ON"),
        ));
    }
    Ok(request.with_filename(place.file.as_bytes()).with_pos(place.offset))
}

fn stop(what: &str, hint: Option<&'static str>) -> Trouble {
    Stop { message: what.to_owned(), hint }.into()
}

fn compressed() -> Trouble {
    stop("events that MariaDB compressed", Some("set log_bin_compress=OFF"))
}

fn broken(error: std::io::Error) -> Trouble {
    Trouble::Broken(format!("could not read an event: {error}"))
}

/// What the client could not make sense of comes as an error without a server's code.
fn refused(error: mysql_async::Error) -> Trouble {
    match &error {
        mysql_async::Error::Io(mysql_async::IoError::Io(io))
            if matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::UnexpectedEof
                    | std::io::ErrorKind::Other
            ) =>
        {
            Trouble::Broken(format!("could not read an event: {io}"))
        }
        _ => error.into(),
    }
}

fn is_artificial(event: &Event) -> bool {
    event.header().flags_raw() & EventFlags::LOG_EVENT_ARTIFICIAL_F.bits() != 0
}

fn is_ignorable(event: &Event) -> bool {
    event.header().flags_raw() & EventFlags::LOG_EVENT_IGNORABLE_F.bits() != 0
}

/// Compares an event with its checksum. What the server makes up for us, and what comes out of a
/// compressed transaction, has none (no offset shows them).
fn check_sum(event: &Event) -> Result<(), Trouble> {
    let kind = event.header().event_type_raw();
    let made_up = event.header().log_pos() == 0
        || is_artificial(event)
        || matches!(
            kind,
            number::ROTATE | number::FORMAT | number::HEARTBEAT | number::HEARTBEAT_V2
        );
    let crc = BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32;
    if made_up || event.footer().get_checksum_alg() != Ok(Some(crc)) {
        return Ok(());
    }
    match event.checksum() {
        Some(sum) if u32::from_le_bytes(sum) != event.calc_checksum(crc) => {
            let message = format!("could not read an event of type {kind}: its checksum differs");
            Err(Trouble::Broken(message))
        }
        _ => Ok(()),
    }
}

/// The table id of an event of rows: its first six bytes.
fn table_id(data: &[u8]) -> Option<u64> {
    let mut whole = [0; 8];
    whole.first_chunk_mut::<6>()?.copy_from_slice(data.first_chunk::<6>()?);
    Some(u64::from_le_bytes(whole))
}

/// A file of a log: a name, a point, digits.
fn is_file(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(base, digits)| {
        !base.is_empty() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn query(event: &Event) -> Result<Item, Trouble> {
    if event.header().event_type_raw() == number::EXECUTE_LOAD {
        let load: ExecuteLoadQueryEvent<'_> = event.read_event().map_err(broken)?;
        let (text, database) = (load.query().into_owned(), load.schema().into_owned());
        return Ok(Item::Query { text, database, thread: load.thread_id() });
    }
    let query: QueryEvent<'_> = event.read_event().map_err(broken)?;
    let (text, database) = (query.query().into_owned(), query.schema().into_owned());
    Ok(Item::Query { text, database, thread: query.thread_id() })
}

fn gtid(event: &Event) -> Result<Item, Trouble> {
    let gtid: GtidEvent = event.read_event().map_err(broken)?;
    let tag = gtid.tag().map(|tag| tag.as_str().to_owned());
    let gtid = Gtid::of_mysql(gtid.sid(), tag.as_deref(), gtid.gno());
    Ok(Item::Gtid { gtid: Some(gtid), standalone: false })
}

/// u64 number, u32 domain, u8 flags of which bit 0 is "standalone" (capture.md 8.6).
fn mariadb_gtid(event: &Event) -> Result<Item, Trouble> {
    let short = || Trouble::Broken("could not read a GTID event: it is too short".to_owned());
    let (number, rest) = event.data().split_first_chunk().ok_or_else(short)?;
    let (domain, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let flags = rest.first().ok_or_else(short)?;
    let gtid = Gtid::MariaDb {
        domain: u32::from_le_bytes(*domain),
        server: event.header().server_id(),
        number: u64::from_le_bytes(*number),
    };
    Ok(Item::Gtid { gtid: Some(gtid), standalone: flags & 1 == 1 })
}
