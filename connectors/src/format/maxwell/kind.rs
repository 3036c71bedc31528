//! What a change record says was done, read from its `type`.
//!
//! The names are Maxwell's (capture 2.2 and 2.6). A snapshot's row is an insert that says so in a
//! flag of its own: who matches on the kind alone takes it for one that just happened.

/// The operation of a change record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A row came, or was read by a bootstrap.
    Insert,
    /// A row changed; `old` has the former values of the columns that did.
    Update,
    /// A row went; `data` is as it was.
    Delete,
    /// A bootstrap began or ended.
    BootstrapMarker,
    /// A table or database was created, altered or dropped.
    Ddl,
    /// Any other `type`.
    Unknown,
}

impl ChangeKind {
    /// All kinds, each at the index that is its code.
    pub const ALL: [Self; 6] =
        [Self::Insert, Self::Update, Self::Delete, Self::BootstrapMarker, Self::Ddl, Self::Unknown];

    /// The integer that stands for it in a column.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Insert => 0,
            Self::Update => 1,
            Self::Delete => 2,
            Self::BootstrapMarker => 3,
            Self::Ddl => 4,
            Self::Unknown => 5,
        }
    }

    /// The kind that has this code.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The kind that `type` names, and whether it comes from a snapshot.
    #[inline]
    pub(super) fn of_type(name: &str) -> (Self, bool) {
        match name {
            "insert" => (Self::Insert, false),
            "update" => (Self::Update, false),
            "delete" => (Self::Delete, false),
            "table-create" | "table-alter" | "table-drop" | "database-create"
            | "database-alter" | "database-drop" => (Self::Ddl, false),
            _ => name.strip_prefix("bootstrap-").map_or((Self::Unknown, false), of_bootstrap),
        }
    }
}

fn of_bootstrap(name: &str) -> (ChangeKind, bool) {
    match name {
        "insert" => (ChangeKind::Insert, true),
        "update" => (ChangeKind::Update, true),
        "delete" => (ChangeKind::Delete, true),
        "start" | "complete" => (ChangeKind::BootstrapMarker, true),
        _ => (ChangeKind::Unknown, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_maxwell_has_its_kind() {
        use ChangeKind::{BootstrapMarker, Ddl, Delete, Insert, Unknown, Update};
        for (name, expected) in [
            ("insert", (Insert, false)),
            ("update", (Update, false)),
            ("delete", (Delete, false)),
            ("bootstrap-insert", (Insert, true)),
            ("bootstrap-update", (Update, true)),
            ("bootstrap-delete", (Delete, true)),
            ("bootstrap-start", (BootstrapMarker, true)),
            ("bootstrap-complete", (BootstrapMarker, true)),
            ("table-create", (Ddl, false)),
            ("table-alter", (Ddl, false)),
            ("table-drop", (Ddl, false)),
            ("database-create", (Ddl, false)),
            ("database-alter", (Ddl, false)),
            ("database-drop", (Ddl, false)),
            ("table-rename", (Unknown, false)),
            ("bootstrap-table-create", (Unknown, true)),
            ("bootstrap-bootstrap-insert", (Unknown, true)),
            ("bootstrap-", (Unknown, true)),
            ("Insert", (Unknown, false)),
            ("insert ", (Unknown, false)),
            ("start", (Unknown, false)),
            ("", (Unknown, false)),
        ] {
            assert_eq!(ChangeKind::of_type(name), expected, "{name}");
        }
    }

    #[test]
    fn codes_come_back() {
        for kind in ChangeKind::ALL {
            assert_eq!(ChangeKind::of_code(kind.code()), Some(kind));
        }
        assert_eq!((ChangeKind::of_code(6), ChangeKind::of_code(-1)), (None, None));
    }
}
