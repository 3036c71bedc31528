//! Whether a saved position still means on this server what it meant when it was saved.
//!
//! A file and an offset mean nothing on another server, or after its log was begun anew under the same
//! names; rows would be skipped or read twice without a word. So a position is proved before it is
//! used:
//!
//! - MySQL with GTIDs: nothing we still need is purged, and nothing we have read is unknown. That
//!   holds on any server of a replication group, so a fail-over is no loss.
//! - MariaDB: the same `server_id`, and the GTID position at our offset is the one we saved.
//! - MySQL without GTIDs: the same `server_uuid`, and the file has our offset.

use engine::error::Fault;

use super::gtid::Gtids;
use super::position::{At, Flavour};
use super::session::{Server, Session};
use super::trouble::Trouble;

/// Proves a position.
///
/// # Errors
/// [`Trouble::Lost`] if the log does not have it any more, [`Trouble::Never`] on another server.
pub(super) async fn check(session: &mut Session, server: &Server, at: &At) -> Result<(), Trouble> {
    if at.flavour != server.flavour {
        return Err(another(at, server));
    }
    match &at.place.gtids {
        Gtids::Mysql(set) if server.gtids => known(session, &set.to_string()).await,
        Gtids::Mysql(_) => {
            let fault = Fault::never("cannot go on by GTIDs: the server has gtid_mode OFF");
            Err(Trouble::Never(fault.with_hint("set gtid_mode=ON")))
        }
        _ if at.server != server.id => Err(another(at, server)),
        Gtids::MariaDb(_) => same_log(session, at).await,
        Gtids::None => has_offset(session, at).await.map(|_size| ()),
    }
}

fn another(at: &At, server: &Server) -> Trouble {
    let name = |flavour, id: &str| match flavour {
        Flavour::MariaDb => format!("MariaDB with server_id {id}"),
        Flavour::Mysql => format!("MySQL with server_uuid {id}"),
    };
    let (then, now) = (name(at.flavour, &at.server), name(server.flavour, &server.id));
    let message = format!("cannot go on at {}: the server is {now}, it was {then}", shown(at));
    let hint = "a position means nothing on another server; bring the old one back or start afresh";
    Trouble::Never(Fault::never(message).with_hint(hint))
}

fn shown(at: &At) -> String {
    format!("{}:{}", at.place.file, at.place.offset)
}

async fn known(session: &mut Session, set: &str) -> Result<(), Trouble> {
    let answer: Option<(bool, bool, String)> = session
        .first(
            "SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, ?), GTID_SUBSET(?, @@GLOBAL.gtid_executed), \
             @@GLOBAL.gtid_purged",
            (set, set),
        )
        .await?;
    match answer {
        None => Err(Trouble::odd("GTID sets")),
        Some((true, true, _)) => Ok(()),
        Some((false, _, purged)) => {
            Err(Trouble::Lost(format!("GTIDs that are needed were purged ({purged})")))
        }
        Some((_, false, _)) => Err(Trouble::Lost(format!(
            "the server does not know GTIDs that were read from it ({set}): its log was reset, or it \
             was restored from a backup"
        ))),
    }
}

/// The size of our file, if it reaches to our offset.
async fn has_offset(session: &mut Session, at: &At) -> Result<u64, Trouble> {
    let files = session.log_files().await?;
    let size = files.iter().find(|(file, _)| *file == at.place.file).map(|(_, size)| *size);
    match size {
        None => Err(Trouble::Lost(format!("file {} is gone", at.place.file))),
        Some(size) if size < at.place.offset => {
            Err(Trouble::Lost(format!("file {} ends at {size} now", at.place.file)))
        }
        Some(size) => Ok(size),
    }
}

async fn same_log(session: &mut Session, at: &At) -> Result<(), Trouble> {
    has_offset(session, at).await?;
    let there = session.gtids_at(&at.place.file, at.place.offset).await?;
    match there {
        Some(there) if there == at.place.gtids => Ok(()),
        there => {
            let there = there.map_or("no end of an event".to_owned(), |there| there.to_string());
            let (place, saved) = (shown(at), &at.place.gtids);
            let reason = format!("at {place} is {there}, it was {saved}: the log was begun anew");
            Err(Trouble::Lost(reason))
        }
    }
}
