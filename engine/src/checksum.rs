//! CRC-32C of bytes in two parts: each of front, rest and whole from the other two, without the bytes.
//!
//! Where bytes lie behind one header and go on behind another, what was counted once holds for both.
//!
//! A checksum is a polynomial over two elements, modulo that of Castagnoli; `n` bytes behind it multiply
//! it by x to the power of 8n, and what they hold is added. So the checksum of the whole is that of the
//! front, moved by the length of the rest, added to that of the rest (initial value and final exclusive
//! or cancel out, as both are all ones). Adding is its own inverse, so the same sum gives the rest from
//! front and whole. Source: the identity behind `crc32_combine` of zlib.

/// The polynomial of Castagnoli, lowest power first: bit 31 is that of x^0.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// 1, as a polynomial.
const ONE: u32 = 1 << 31;
/// `MOVES[k]` is x to the power of 8 · 2^k: it moves by 2^k bytes.
const MOVES: [u32; 32] = moves();

/// The checksum of front and rest from theirs, where the rest has so many bytes; or, where `rest` is that
/// of both, the checksum of the rest. Takes less than a microsecond, whatever the length.
#[must_use]
pub fn joined(front: u32, rest: u32, rest_bytes: u32) -> u32 {
    let mut moved = front;
    for (power, by) in MOVES.iter().enumerate() {
        if rest_bytes >> power & 1 == 1 {
            moved = product(moved, *by);
        }
    }
    moved ^ rest
}

const fn moves() -> [u32; 32] {
    let mut moves = [0; 32];
    // x^8.
    let mut by = ONE >> 8;
    let mut power = 0;
    while power < moves.len() {
        moves[power] = by;
        by = product(by, by);
        power += 1;
    }
    moves
}

/// The product of two polynomials, modulo that of Castagnoli.
const fn product(left: u32, mut right: u32) -> u32 {
    let mut sum = 0;
    let mut power = ONE;
    while power != 0 {
        if left & power != 0 {
            sum ^= right;
        }
        right = if right & 1 == 1 { (right >> 1) ^ POLYNOMIAL } else { right >> 1 };
        power >>= 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_follows_from_the_other_two(
            front in proptest::collection::vec(any::<u8>(), 0..100),
            rest in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            let whole = crc32c::crc32c(&[&front[..], &rest].concat());
            let bytes = u32::try_from(rest.len()).unwrap();
            let (front, rest) = (crc32c::crc32c(&front), crc32c::crc32c(&rest));
            prop_assert_eq!(joined(front, rest, bytes), whole);
            prop_assert_eq!(joined(front, whole, bytes), rest);
        }
    }

    #[test]
    fn long_parts_too() {
        let rest = vec![7; (5 << 20) + 3];
        let crc = crc32c::crc32c_append(crc32c::crc32c(b"front"), &rest);
        let bytes = u32::try_from(rest.len()).unwrap();
        assert_eq!(joined(crc32c::crc32c(b"front"), crc32c::crc32c(&rest), bytes), crc);
        assert_eq!(joined(0, crc, u32::MAX), crc);
    }
}
