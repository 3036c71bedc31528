//! Hashing that is the same in every run: key groups and maps with a fixed seed.
//!
//! `std`'s maps are banned in this crate because their random iteration order would break replay;
//! these maps iterate in an order that depends on the content only, but it is still *an accident of
//! hashing*: nothing that leaves an operator may depend on it (sort, or use a `BTreeMap`).

use std::hash::{BuildHasherDefault, Hasher};

use twox_hash::XxHash3_64;

use crate::limit::KEY_GROUPS;

/// A hash map with a fixed seed.
#[expect(clippy::disallowed_types, reason = "the one place that gives it a fixed hasher")]
pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FixedHasher>>;
/// A hash set with a fixed seed.
#[expect(clippy::disallowed_types, reason = "the one place that gives it a fixed hasher")]
pub type Set<K> = std::collections::HashSet<K, BuildHasherDefault<FixedHasher>>;

/// 64-bit hash of key bytes, version 1: xxh3-64, seed 0. Decides the key group, hence on-disk.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The key group of `key`.
pub fn key_group(key: &[u8]) -> u16 {
    let group = hash_bytes(key) % u64::from(KEY_GROUPS);
    u16::try_from(group).expect("a remainder of 1024 fits")
}

/// The worker that owns `group` among `peers`.
pub fn worker_of_group(group: u16, peers: usize) -> usize {
    usize::from(group) * peers / usize::from(KEY_GROUPS)
}

/// The hasher of [`Map`]: xxh3 over what `Hash` writes; short keys take a multiply-mix path.
#[derive(Default)]
pub struct FixedHasher {
    state: u64,
}

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.state = (self.state.rotate_left(5) ^ hash_bytes(bytes)).wrapping_mul(MIX);
    }
    fn write_u64(&mut self, value: u64) {
        self.state = (self.state.rotate_left(5) ^ value).wrapping_mul(MIX);
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    fn finish(&self) -> u64 {
        self.state ^ (self.state >> 29)
    }
}

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_groups_are_pinned() {
        // On disk: changing any of these orphans every state directory.
        let pinned = [(&b""[..], 0x2d06_8005_38d3_94c2_u64), (b"mid_1", hash_bytes(b"mid_1"))];
        assert_eq!(hash_bytes(pinned[0].0), pinned[0].1);
        assert_eq!(key_group(b"mid_1"), (pinned[1].1 % 1024) as u16);
    }

    #[test]
    fn every_worker_gets_a_contiguous_share() {
        for peers in 1..=8 {
            let owners: Vec<usize> =
                (0..KEY_GROUPS).map(|group| worker_of_group(group, peers)).collect();
            assert!(owners.is_sorted());
            assert_eq!((owners[0], owners[1023]), (0, peers - 1));
        }
    }
}
