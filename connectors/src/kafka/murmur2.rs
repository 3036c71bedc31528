//! The hash by which Java clients place a keyed record in a partition.
//!
//! All writers of a topic must place a key alike, or its records lose their order: the Kafka sink
//! (through librdkafka's `murmur2_random`), the embedded topic log, and whatever Java program
//! writes beside us. Source: `Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of Apache
//! Kafka 4.3; the test values are those of its `UtilsTest`.

/// Start value of the hash.
const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// Murmur2 of `bytes`, 32 bits, as Java computes it (there the result is a signed number).
pub fn murmur2(bytes: &[u8]) -> u32 {
    // Java's arrays are shorter than 2 GiB, so the length is mixed in as 32 bits.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ length;
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        for (byte, shift) in tail.iter().zip([0, 8, 16]) {
            hash ^= u32::from(*byte) << shift;
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a record with this key in a topic of `partitions`, which MUST not be 0.
///
/// A [`Partitioner`](engine::graph::plan::Partitioner), so embedded topics and Kafka topics agree.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    // Java's `toPositive` takes the sign bit away; it does not negate.
    (murmur2(key) & 0x7fff_ffff) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_java_does() {
        for (text, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    #[test]
    fn partitions_are_below_their_number() {
        let partitioner: engine::graph::plan::Partitioner = partition_of;
        // -973932308 and -790332482 without their sign bit, modulo 5.
        assert_eq!((partitioner(b"21", 5), partitioner(b"foobar", 5)), (0, 1));
        assert_eq!(partitioner(b"", 1), 0);
        let used: std::collections::BTreeSet<u32> =
            (0..100_u32).map(|n| partitioner(&n.to_be_bytes(), 3)).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
