//! The handles of all spaces: one keyspace of fjall each, and one for all deltas.

use std::collections::BTreeMap;
use std::sync::Arc;

use fjall::config::CompressionPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::FjallOptions;

/// Name of the keyspace of the deltas. No space has it.
pub(super) const DELTAS: &str = "~deltas";
/// Bytes of deltas, folded or not, before they become a table. Deltas that were folded by then are not
/// written any more, so this is a few times what waits for a fold.
const DELTAS_MEMTABLE_BYTES: u64 = 16 << 20;

/// The handles.
#[derive(Clone, Default)]
pub(super) struct Spaces {
    pub(super) named: BTreeMap<Arc<str>, Keyspace>,
    /// Made with the first delta.
    pub(super) deltas: Option<Keyspace>,
}

impl Spaces {
    /// The handles of all spaces there are.
    pub(super) fn open(database: &Database, options: &FjallOptions) -> fjall::Result<Self> {
        let mut spaces = Self::default();
        for name in database.list_keyspace_names() {
            if &*name == DELTAS {
                spaces.add_deltas(database)?;
            } else {
                spaces.add(database, &Arc::from(&*name), options)?;
            }
        }
        Ok(spaces)
    }

    /// Opens a space, which costs several syncs where it is new.
    pub(super) fn add(
        &mut self,
        database: &Database,
        name: &Arc<str>,
        options: &FjallOptions,
    ) -> fjall::Result<()> {
        let handle = database.keyspace(name, || {
            KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
        })?;
        self.named.insert(name.clone(), handle);
        Ok(())
    }

    /// Likewise the place for deltas.
    pub(super) fn add_deltas(&mut self, database: &Database) -> fjall::Result<()> {
        let handle = database.keyspace(DELTAS, || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(DELTAS_MEMTABLE_BYTES)
                // They are short-lived.
                .data_block_compression_policy(CompressionPolicy::disabled())
        })?;
        self.deltas = Some(handle);
        Ok(())
    }
}
