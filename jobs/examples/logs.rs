//! Writes generated app logs to standard output: `cargo run -p jobs --example logs -- 100000 7`.

use std::io::Write as _;

use jobs::generate::{Generator, Settings};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |otherwise| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (records, seed) = (number(1_000), number(1));
    let settings = Settings {
        seed,
        records: Some(records),
        last_day_end_ms: 1_651_334_400_000,
        ..Settings::default()
    };
    let mut cursor = Generator::new(settings).open(0);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    while cursor.next(&mut line).is_some() {
        line.push(b'\n');
        out.write_all(&line)?;
        line.clear();
    }
    out.flush()
}
