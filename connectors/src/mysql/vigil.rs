//! Whether a stream that brings nothing but heartbeats still follows the server's log.
//!
//! A log that is reset under a reader leaves him deaf, not cut off: both servers go on sending
//! heartbeats from the file that is gone, and MySQL leaves out GTIDs that it counts from 1 again (seen
//! on MariaDB 10.11 and MySQL 9.7). So a quiet stream is held against what the server says of its log
//! now and then. Twice behind with nothing heard in between is deaf: the connection is given up, and
//! the proof of the position before the next one finds out why.

use std::time::Duration;

use tokio::time::Instant;

use super::config::MysqlTableConfig;
use super::gtid::Gtids;
use super::position::Place;
use super::session::Session;
use super::trouble::Trouble;

/// Watches over one stream.
#[derive(Debug)]
pub(super) struct Vigil {
    every: Duration,
    looked_at: Instant,
    /// Something was heard since the last look.
    heard: bool,
    /// The last look found us behind.
    behind: bool,
    session: Option<Session>,
}

impl Vigil {
    pub(super) fn new(config: &MysqlTableConfig) -> Self {
        let every = config.heartbeat_timeout;
        Self { every, looked_at: Instant::now(), heard: false, behind: false, session: None }
    }

    /// The stream brought an event that stands in the log.
    pub(super) fn hear(&mut self) {
        self.heard = true;
    }

    /// Looks at the server if it is time to, having read up to `place`.
    ///
    /// # Errors
    /// The stream is deaf.
    pub(super) async fn look(
        &mut self,
        config: &MysqlTableConfig,
        place: &Place,
    ) -> Result<(), Trouble> {
        if self.looked_at.elapsed() < self.every {
            return Ok(());
        }
        self.looked_at = Instant::now();
        if std::mem::take(&mut self.heard) {
            self.behind = false;
            return Ok(());
        }
        // The stream itself finds out about a server that is gone.
        let Ok(behind) = self.is_behind(config, place).await else {
            self.session = None;
            return Ok(());
        };
        if self.behind && behind && !self.heard {
            let message = "could not hear of changes: the server's log goes on without them";
            return Err(Trouble::Later(message.to_owned()));
        }
        self.behind = behind;
        Ok(())
    }

    async fn is_behind(
        &mut self,
        config: &MysqlTableConfig,
        place: &Place,
    ) -> Result<bool, Trouble> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::connect(config).await?),
        };
        Ok(match &place.gtids {
            Gtids::Mysql(ours) => session.executed().await? != *ours,
            Gtids::MariaDb(ours) => session.logged().await? != *ours,
            Gtids::None => {
                let files = session.log_files().await?;
                let reached = |size: u64| size >= place.offset;
                !files.iter().any(|(file, size)| *file == place.file && reached(*size))
            }
        })
    }
}
