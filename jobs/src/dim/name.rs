//! Names at the target store: what one may look like, and how its case is folded.
//!
//! The rules are Phoenix's (phoenix.md 7.2, 7.3). Reserved words are legal, because generated
//! statements quote every name; therefore a name MUST be folded first, as Phoenix folds what is not
//! quoted.

/// The name as the store knows it: in upper case, like Java's `toUpperCase`.
pub(super) fn fold(name: &str) -> String {
    name.to_uppercase()
}

/// Whether `name` is an identifier: an ASCII letter, then letters, digits, `_` or any character
/// from U+0080 to U+FFFE.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(starts_identifier) && characters.all(continues_identifier)
}

/// Whether an identifier may begin with this character.
pub(super) fn starts_identifier(character: char) -> bool {
    character.is_ascii_alphabetic()
}

/// Whether this character may stand in an identifier after its first.
pub(super) fn continues_identifier(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '\u{80}'..='\u{fffe}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_begins_with_a_letter() {
        for (name, expected) in [
            ("id", true),
            ("iso_3166_2", true),
            ("dim_商品", true),
            ("select", true),
            ("a\u{fffe}", true),
            ("", false),
            ("商品", false),
            ("_id", false),
            ("1id", false),
            ("a-b", false),
            ("a.b", false),
            ("a:b", false),
            ("a b", false),
            ("a\"b", false),
            ("a😀", false),
            ("a\u{ffff}", false),
            ("a\u{7f}", false),
        ] {
            assert_eq!(is_identifier(name), expected, "{name:?}");
        }
    }
}
