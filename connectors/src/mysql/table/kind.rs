//! What a column holds: its declared type, and the raw type that stands for it in the log.
//!
//! Declared types come from `information_schema.COLUMNS.COLUMN_TYPE`. The log carries one byte of type
//! and up to two of metadata for each column (`TABLE_MAP_EVENT`), which names neither column nor sign:
//! [`Kind::fits`] says whether a declaration and a raw type can be the same column.
//!
//! A type that is not listed here has no [`Kind`], and its table is refused by name: a value that is
//! shown wrongly is worse than a job that says why it does not start.

use mysql_async::consts::ColumnType;

/// How text of a column is encoded in the log. Results of queries are always UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// utf8mb4, utf8mb3, ascii: as it is.
    Utf8,
    /// MySQL's latin1: windows-1252, and where that has a hole the control character of the byte.
    Latin1,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Int {
        bytes: u8,
        unsigned: bool,
    },
    /// `widened`: declared as FLOAT(M,D), which the originals show as a double.
    Float {
        widened: bool,
    },
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        bits: u8,
    },
    Year,
    Date,
    /// `digits` of a second's fraction, 0 to 6.
    DateTime {
        digits: u8,
    },
    Timestamp {
        digits: u8,
    },
    Time {
        digits: u8,
    },
    /// `octets` is the greatest length in bytes.
    Char {
        octets: u64,
        charset: Charset,
    },
    VarChar {
        octets: u64,
        charset: Charset,
    },
    /// `length` is how many bytes the log gives the length: 1 (TINYTEXT) to 4 (LONGTEXT).
    Text {
        length: u8,
        charset: Charset,
    },
    Binary {
        octets: u64,
    },
    VarBinary {
        octets: u64,
    },
    Blob {
        length: u8,
    },
    Enum(Vec<String>),
    Set(Vec<String>),
}

impl Kind {
    /// The kind of a declaration: type text as `information_schema` has it, charset if it has one,
    /// greatest length in bytes. `None`: not one we can read.
    pub(crate) fn of(declared: &str, charset: Option<&str>, octets: u64) -> Option<Self> {
        // MariaDB marks old storage formats and compressed columns by a comment behind the type.
        if declared.contains("/*") {
            return None;
        }
        let word = declared.split(['(', ' ']).next()?;
        let unsigned = declared.ends_with("unsigned") || declared.ends_with("zerofill");
        let int = |bytes| Some(Self::Int { bytes, unsigned });
        match word {
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" => int(4),
            "bigint" => int(8),
            "float" => Some(Self::Float { widened: !numbers(declared).is_empty() }),
            "double" => Some(Self::Double),
            "decimal" => match numbers(declared)[..] {
                [precision, scale] => Some(Self::Decimal { precision, scale }),
                _ => None,
            },
            "bit" => Some(Self::Bit { bits: numbers(declared).first().copied().unwrap_or(1) }),
            "year" => Some(Self::Year),
            "date" => Some(Self::Date),
            "enum" => Some(Self::Enum(names(declared))),
            "set" => Some(Self::Set(names(declared))),
            "binary" => Some(Self::Binary { octets }),
            "varbinary" => Some(Self::VarBinary { octets }),
            _ => Self::of_moment(word, declared).or_else(|| Self::of_text(word, charset, octets)),
        }
    }

    fn of_moment(word: &str, declared: &str) -> Option<Self> {
        let digits = numbers(declared).first().copied().unwrap_or(0);
        match word {
            "datetime" => Some(Self::DateTime { digits }),
            "timestamp" => Some(Self::Timestamp { digits }),
            "time" => Some(Self::Time { digits }),
            _ => None,
        }
    }

    fn of_text(word: &str, charset: Option<&str>, octets: u64) -> Option<Self> {
        let length = |word: &str| match word {
            "tiny" => Some(1),
            "" => Some(2),
            "medium" => Some(3),
            "long" => Some(4),
            _ => None,
        };
        if let Some(size) = word.strip_suffix("blob") {
            return Some(Self::Blob { length: length(size)? });
        }
        let charset = match charset? {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Charset::Utf8,
            "latin1" => Charset::Latin1,
            _ => return None,
        };
        match word {
            "char" => Some(Self::Char { octets, charset }),
            "varchar" => Some(Self::VarChar { octets, charset }),
            _ => Some(Self::Text { length: length(word.strip_suffix("text")?)?, charset }),
        }
    }

    /// Whether a column of this kind can have this raw type and metadata in the log.
    pub(crate) fn fits(&self, raw: ColumnType, metadata: &[u8]) -> bool {
        use ColumnType as T;
        let first = metadata.first().copied();
        let second = metadata.get(1).copied();
        match self {
            Self::Int { bytes, .. } => match bytes {
                1 => raw == T::MYSQL_TYPE_TINY,
                2 => raw == T::MYSQL_TYPE_SHORT,
                3 => raw == T::MYSQL_TYPE_INT24,
                4 => raw == T::MYSQL_TYPE_LONG,
                _ => raw == T::MYSQL_TYPE_LONGLONG,
            },
            Self::Float { .. } => raw == T::MYSQL_TYPE_FLOAT,
            Self::Double => raw == T::MYSQL_TYPE_DOUBLE,
            Self::Decimal { precision, scale } => {
                raw == T::MYSQL_TYPE_NEWDECIMAL
                    && (first, second) == (Some(*precision), Some(*scale))
            }
            Self::Bit { bits } => {
                raw == T::MYSQL_TYPE_BIT && (first, second) == (Some(bits % 8), Some(bits / 8))
            }
            Self::Year => raw == T::MYSQL_TYPE_YEAR,
            Self::Date => matches!(raw, T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE),
            Self::DateTime { digits } => raw == T::MYSQL_TYPE_DATETIME2 && first == Some(*digits),
            Self::Timestamp { digits } => raw == T::MYSQL_TYPE_TIMESTAMP2 && first == Some(*digits),
            Self::Time { digits } => raw == T::MYSQL_TYPE_TIME2 && first == Some(*digits),
            Self::Char { octets, .. } | Self::Binary { octets } => {
                raw == T::MYSQL_TYPE_STRING && char_octets(metadata) == Some(*octets)
            }
            Self::VarChar { octets, .. } | Self::VarBinary { octets } => {
                let logged = metadata.first_chunk().map(|pair| u16::from_le_bytes(*pair));
                raw == T::MYSQL_TYPE_VARCHAR && logged.map(u64::from) == Some(*octets)
            }
            Self::Text { length, .. } | Self::Blob { length } => {
                raw == T::MYSQL_TYPE_BLOB && first == Some(*length)
            }
            Self::Enum(names) => {
                let bytes = if names.len() < 256 { 1 } else { 2 };
                raw == T::MYSQL_TYPE_ENUM && second == Some(bytes)
            }
            Self::Set(names) => {
                let bytes = match names.len().div_ceil(8) {
                    few @ 0..=4 => few,
                    _ => 8,
                };
                raw == T::MYSQL_TYPE_SET && second.map(usize::from) == Some(bytes)
            }
        }
    }
}

/// Length of a CHAR from its metadata: bits 8 and 9 hide, inverted, in two bits of the type byte
/// (MySQL bug 37426).
fn char_octets(metadata: &[u8]) -> Option<u64> {
    let [kind, low] = *metadata.first_chunk()?;
    Some(u64::from(low) | (u64::from((kind & 0x30) ^ 0x30) << 4))
}

/// The numbers in the parentheses of a type: `decimal(16,2) unsigned` has 16 and 2.
fn numbers(declared: &str) -> Vec<u8> {
    let inside = declared.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let inside = inside.map_or("", |(inside, _)| inside);
    inside.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

/// The values of `enum('a','b''c')`. The servers double a quote and put a backslash before `\`, and
/// write line ends and NUL as `\n`, `\r`, `\0` (`append_unescaped` in their sources).
fn names(declared: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    let mut rest = declared.chars().peekable();
    while let Some(character) = rest.next() {
        match (&mut open, character) {
            (None, '\'') => open = Some(String::new()),
            (None, _) => {}
            (Some(name), '\'') if rest.peek() == Some(&'\'') => {
                rest.next();
                name.push('\'');
            }
            (Some(_), '\'') => all.extend(open.take()),
            (Some(name), '\\') => name.push(match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            }),
            (Some(name), other) => name.push(other),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use ColumnType as T;

    use super::*;

    #[test]
    fn declarations_are_understood() {
        let utf8 = Some("utf8mb4");
        for (declared, charset, octets, expected) in [
            ("int(10) unsigned zerofill", None, 0, Kind::Int { bytes: 4, unsigned: true }),
            ("mediumint(9)", None, 0, Kind::Int { bytes: 3, unsigned: false }),
            ("bigint unsigned", None, 0, Kind::Int { bytes: 8, unsigned: true }),
            ("decimal(16,2) unsigned", None, 0, Kind::Decimal { precision: 16, scale: 2 }),
            ("float", None, 0, Kind::Float { widened: false }),
            ("float(7,3)", None, 0, Kind::Float { widened: true }),
            ("double unsigned", None, 0, Kind::Double),
            ("bit(10)", None, 0, Kind::Bit { bits: 10 }),
            ("datetime(6)", None, 0, Kind::DateTime { digits: 6 }),
            ("timestamp", None, 0, Kind::Timestamp { digits: 0 }),
            ("time(3)", None, 0, Kind::Time { digits: 3 }),
            ("char(10)", utf8, 40, Kind::Char { octets: 40, charset: Charset::Utf8 }),
            (
                "varchar(200)",
                Some("latin1"),
                200,
                Kind::VarChar { octets: 200, charset: Charset::Latin1 },
            ),
            ("mediumtext", utf8, 0, Kind::Text { length: 3, charset: Charset::Utf8 }),
            ("text", utf8, 0, Kind::Text { length: 2, charset: Charset::Utf8 }),
            ("longblob", None, 0, Kind::Blob { length: 4 }),
            ("blob", None, 0, Kind::Blob { length: 2 }),
            ("varbinary(3)", None, 3, Kind::VarBinary { octets: 3 }),
        ] {
            assert_eq!(Kind::of(declared, charset, octets), Some(expected), "{declared}");
        }
        for (declared, charset) in [
            ("varchar(10)", Some("gbk")),
            ("json", None),
            ("geometry", None),
            ("datetime /* mariadb-5.3 */", None),
            ("uuid", None),
            ("hypertext", utf8),
        ] {
            assert_eq!(Kind::of(declared, charset, 40), None, "{declared}");
        }
    }

    #[test]
    fn values_of_enums_are_unquoted() {
        let declared = r"enum('a','b''c','','逗,号','x\\y','l\nm')";
        let expected = ["a", "b'c", "", "逗,号", r"x\y", "l\nm"].map(str::to_owned);
        assert_eq!(Kind::of(declared, Some("gbk"), 9), Some(Kind::Enum(expected.into())));
        assert_eq!(
            Kind::of("set('u','v')", None, 9),
            Some(Kind::Set(vec!["u".into(), "v".into()]))
        );
    }

    #[test]
    fn raw_types_tell_kinds_apart() {
        let char_of = |octets| Kind::Char { octets, charset: Charset::Utf8 };
        let varchar = |octets| Kind::VarChar { octets, charset: Charset::Utf8 };
        let long_enum = Kind::Enum(vec![String::new(); 256]);
        for (kind, raw, metadata, fits) in [
            (varchar(800), T::MYSQL_TYPE_VARCHAR, &[0x20, 3][..], true),
            (varchar(799), T::MYSQL_TYPE_VARCHAR, &[0x20, 3], false),
            (varchar(800), T::MYSQL_TYPE_STRING, &[0x20, 3], false),
            (char_of(40), T::MYSQL_TYPE_STRING, &[254, 40], true),
            (char_of(1020), T::MYSQL_TYPE_STRING, &[0xce, 252], true),
            (Kind::Decimal { precision: 16, scale: 2 }, T::MYSQL_TYPE_NEWDECIMAL, &[16, 2], true),
            (Kind::Decimal { precision: 16, scale: 2 }, T::MYSQL_TYPE_NEWDECIMAL, &[16, 3], false),
            (Kind::Bit { bits: 10 }, T::MYSQL_TYPE_BIT, &[2, 1], true),
            (Kind::Int { bytes: 3, unsigned: false }, T::MYSQL_TYPE_INT24, &[], true),
            (Kind::Int { bytes: 8, unsigned: false }, T::MYSQL_TYPE_LONG, &[], false),
            (Kind::DateTime { digits: 3 }, T::MYSQL_TYPE_DATETIME2, &[3], true),
            (Kind::DateTime { digits: 3 }, T::MYSQL_TYPE_DATETIME2, &[0], false),
            (Kind::Blob { length: 2 }, T::MYSQL_TYPE_BLOB, &[2], true),
            (long_enum, T::MYSQL_TYPE_ENUM, &[247, 2], true),
            (Kind::Set(vec![String::new(); 33]), T::MYSQL_TYPE_SET, &[248, 8], true),
        ] {
            assert_eq!(kind.fits(raw, metadata), fits, "{kind:?} {raw:?} {metadata:?}");
        }
    }
}
