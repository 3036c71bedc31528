//! Writes generated app logs to standard output: `cargo run -p jobs --example logs -- 100000 7`:
//! number of records, seed, and records per second (0 = spread over a day).

use std::io::Write as _;

use jobs::generate::{Generator, Settings};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |otherwise| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (records, seed, rate) = (number(1_000), number(1), number(0));
    let end_ms = 1_651_334_400_000;
    let settings = Settings { seed, last_day_end_ms: end_ms, ..Settings::default() };
    let settings = if rate == 0 {
        Settings { records: Some(records), ..settings }
    } else {
        Settings {
            start_ms: end_ms,
            records_per_second: u32::try_from(rate).unwrap_or(u32::MAX),
            ..settings
        }
    };
    let mut cursor = Generator::new(settings).open(0);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    for _ in 0..records {
        if cursor.next(&mut line).is_none() {
            break;
        }
        line.push(b'\n');
        out.write_all(&line)?;
        line.clear();
    }
    out.flush()
}
