//! What goes wrong with a MySQL server, sorted by what helps.

use std::time::Duration;

use engine::error::Fault;
use mysql_async::Error;

use super::cell::Strange;
use super::transaction::Stop;

/// Server errors that nobody but a person can mend: access denied for the user, to the database, to
/// the table, for want of a right; unknown database, unknown table.
const NEVER: &[(u16, &str)] = &[
    (1045, "check username and password"),
    (1044, "grant the user SELECT on the table"),
    (1142, "grant the user SELECT on the table"),
    (1143, "grant the user SELECT on the table"),
    (1227, "grant the user REPLICATION SLAVE and REPLICATION CLIENT"),
    (1049, "create the database, or correct database-name"),
    (1146, "create the table, or correct table-name"),
];

/// The server cannot send its log from where we want it, or another reader took our id.
const LOG_REFUSED: u16 = 1236;

/// Why reading broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Somebody must act.
    Never(Fault),
    /// A connection or a server that is gone for a while.
    Later(String),
    /// Bytes that cannot be understood: the first times taken for a bad connection.
    Broken(String),
    /// The log does not have our position any more.
    Lost(String),
    /// Nobody takes our rows any more.
    Closed,
}

impl Trouble {
    /// A reply that does not answer our question.
    pub(super) fn odd(what: &str) -> Self {
        Self::Later(format!("could not read the answer about {what}"))
    }

    /// No sign of life for this long.
    pub(super) fn silent(limit: Duration) -> Self {
        Self::Later(format!("could not hear from the server for {limit:?}"))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let Error::Server(refusal) = &error else {
            return Self::Later(format!("could not talk to the server: {error}"));
        };
        let (code, message) = (refusal.code, &refusal.message);
        if let Some((_, hint)) = NEVER.iter().find(|(known, _)| *known == code) {
            let fault = Fault::never(format!("cannot read the table: error {code}: {message}"));
            return Self::Never(fault.with_hint(*hint));
        }
        if code == LOG_REFUSED && !message.contains("same server_") {
            return Self::Lost(message.clone());
        }
        Self::Later(format!("could not go on: error {code}: {message}"))
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        let fault = Fault::never(format!("cannot follow the log: {}", stop.message));
        Self::Never(match stop.hint {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        })
    }
}

impl From<Strange> for Trouble {
    fn from(strange: Strange) -> Self {
        Self::Never(Fault::never(format!("cannot read a row: {}", strange.0)))
    }
}

#[cfg(test)]
mod tests {
    use engine::error::Retry;
    use mysql_async::ServerError;

    use super::*;

    fn of(code: u16, message: &str) -> Trouble {
        let state = "HY000".to_owned();
        Error::Server(ServerError { code, message: message.to_owned(), state }).into()
    }

    #[test]
    fn errors_are_sorted_by_what_helps() {
        for (code, part) in [(1045, "username"), (1227, "REPLICATION SLAVE"), (1146, "table-name")]
        {
            let Trouble::Never(fault) = of(code, "no") else { panic!("{code} may pass") };
            assert_eq!(fault.retry, Retry::Never);
            assert!(fault.to_string().contains(part), "{fault}");
        }
        let lost = of(1236, "Could not find first log file name in binary log index file");
        assert!(matches!(lost, Trouble::Lost(_)), "{lost:?}");
        let taken = of(1236, "A replica with the same server_uuid/server_id as this replica");
        assert!(matches!(taken, Trouble::Later(_)), "{taken:?}");
        assert!(matches!(of(1040, "Too many connections"), Trouble::Later(_)));
    }
}
