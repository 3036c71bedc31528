//! Which records a demo is made of, kept in `<data>/demo.json` so that a second start goes on with
//! the same ones.
//!
//! A position of the generator is a record number, which means something only together with the
//! settings the directory was begun with. A start that asks for others is therefore refused.
//!
//! ```json
//! {"format":1,"seed":1,"stream":{"live":{"rate":2000,"start_ms":1651291200000}}}
//! {"format":1,"seed":1,"stream":{"bounded":{"records":5000,"days":1,"last_day_end_ms":1651291200000}}}
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::error::JobError;
use jobs::generate::job::NAME;
use jobs::generate::source::Pace;
use jobs::generate::{Generator, Settings, config, shop};
use serde::{Deserialize, Serialize};

use super::{Request, layer};

const FORMAT: u32 = 1;
/// How much of the past a live demo is given at its start: enough that the first windows of both
/// tables can close at once (10 s of window, 10 s for jumps, 3 s out of order, and where the minute
/// stands), little enough that it is read within a second.
pub(super) const LEAD_MS: i64 = 60_000;
/// Devices per record per second for which visits have pages seconds apart
/// ([`Settings::mids`]).
const MIDS_PER_RATE: u64 = 32;
/// App logs per change of the shop database.
const LOGS_PER_CHANGE: u64 = 5;
/// Time between two changes of the config table of a live demo: seldom enough to see what each does.
const CONFIG_EVERY_S: u64 = 20;
/// Into so many parts its changes cut the shop's records of a bounded demo.
const CONFIG_PARTS: u64 = 10;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    format: u32,
    /// Seed of the generator.
    pub(super) seed: u64,
    #[serde(rename = "stream")]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Event time is wall-clock time.
    Live { rate: u64, start_ms: i64 },
    /// So many records over so many days that end at a fixed instant.
    Bounded { records: u64, days: u32, last_day_end_ms: i64 },
}

impl Stream {
    /// The stream of the directory, begun now if it is new. `fresh` says whether the directory has
    /// never been run on.
    pub(super) fn of_directory(request: &Request, fresh: bool, now_ms: i64) -> Result<Self> {
        let path = path(&request.data);
        let asked = Self::asked(request, now_ms);
        if !path.exists() {
            if !fresh {
                let data = request.data.display();
                let reason =
                    format!("{data} holds a warehouse that is no demo; take another --data");
                return Err(refused(reason).into());
            }
            asked.write(&path).with_context(|| format!("could not write {}", path.display()))?;
            return Ok(asked);
        }
        let kept = Self::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !kept.is_as(&asked) {
            let data = request.data.display();
            let reason = format!(
                "{data} was begun with {kept}, not with {asked}; start it with the same, or take \
                 another --data"
            );
            return Err(refused(reason).into());
        }
        Ok(kept)
    }

    fn asked(request: &Request, now_ms: i64) -> Self {
        let kind = match request.records {
            Some(records) => Kind::Bounded { records, days: request.days, last_day_end_ms: now_ms },
            None => Kind::Live { rate: request.rate, start_ms: now_ms - LEAD_MS },
        };
        Self { format: FORMAT, seed: request.seed, kind }
    }

    fn read(path: &Path) -> Result<Self> {
        let stream: Self = serde_json::from_slice(&fs::read(path)?)?;
        anyhow::ensure!(stream.format == FORMAT, "its format is {}, not {FORMAT}", stream.format);
        Ok(stream)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let temporary = path.with_extension("json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The name must outlive a crash as the topics do.
        Ok(File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?)
    }

    /// Whether both were asked for alike; instants are those of the first start.
    fn is_as(&self, asked: &Self) -> bool {
        let same = match (self.kind, asked.kind) {
            (Kind::Live { rate, .. }, Kind::Live { rate: other, .. }) => rate == other,
            (
                Kind::Bounded { records, days, .. },
                Kind::Bounded { records: other, days: other_days, .. },
            ) => (records, days) == (other, other_days),
            (Kind::Live { .. }, Kind::Bounded { .. })
            | (Kind::Bounded { .. }, Kind::Live { .. }) => false,
        };
        same && self.seed == asked.seed
    }

    /// The records.
    pub(super) fn generator(&self) -> Generator {
        let settings = Settings { seed: self.seed, ..Settings::default() };
        Generator::new(match self.kind {
            Kind::Bounded { records, days, last_day_end_ms } => {
                Settings { records: Some(records), days, last_day_end_ms, ..settings }
            }
            Kind::Live { rate, start_ms } => {
                let mids = u32::try_from(rate.saturating_mul(MIDS_PER_RATE)).unwrap_or(u32::MAX);
                let records_per_second = u32::try_from(rate).unwrap_or(u32::MAX);
                let mids = mids.max(settings.mids);
                Settings { start_ms, records_per_second, mids, ..settings }
            }
        })
    }

    /// The changes of the shop database: a bootstrap, then some in proportion to the app logs.
    pub(super) fn shop(&self) -> shop::Generator {
        let settings = shop::Settings::beside(self.generator().settings());
        match self.kind {
            Kind::Live { rate, .. } => {
                let rate = u32::try_from(rate / LOGS_PER_CHANGE).unwrap_or(u32::MAX).max(1);
                shop::Generator::new(shop::Settings { records_per_second: rate, ..settings })
            }
            Kind::Bounded { records, .. } => {
                let bootstrap = shop::Generator::new(settings.clone()).bootstrap_records();
                let records = Some(bootstrap + records / LOGS_PER_CHANGE);
                shop::Generator::new(shop::Settings { records, ..settings })
            }
        }
    }

    /// The config table beside this shop; none where nothing happens.
    ///
    /// What a bounded demo leaves behind must not depend on when a change met the rows under way, so
    /// it has no change of which that is true: no table moves or gets narrower.
    pub(super) fn config(&self, shop: &shop::Generator) -> Option<config::Generator> {
        let layout = config::Layout::TableProcess;
        let demo = |every: u64| config::Settings::demo(layout, shop, every.max(1));
        let settings = match self.kind {
            Kind::Live { rate: 0, .. } => return None,
            Kind::Live { rate, .. } => demo(rate / LOGS_PER_CHANGE * CONFIG_EVERY_S),
            Kind::Bounded { records, .. } => {
                let mut settings = demo(records / LOGS_PER_CHANGE / CONFIG_PARTS);
                settings.changes.retain(|change| !depends_on_its_instant(change));
                settings
            }
        };
        Some(config::Generator::new(settings))
    }

    /// How many records a topic of the generators will ever have; `None` = no end.
    pub(super) fn records_of(&self, topic: &str) -> Option<u64> {
        let records = self.records()?;
        if topic == layer::LOG {
            return Some(records);
        }
        let shop = self.shop();
        if topic == layer::SHOP {
            return shop.settings().records;
        }
        self.config(&shop).map(|config| config.records())
    }

    /// How they come.
    pub(super) fn pace(&self) -> Pace {
        match self.kind {
            Kind::Bounded { .. } => Pace::Unpaced,
            Kind::Live { rate: 0, .. } => Pace::Silent,
            Kind::Live { .. } => Pace::Arrival { catch_up_ms: LEAD_MS },
        }
    }

    /// How many there are; `None` = no end.
    pub(super) fn records(&self) -> Option<u64> {
        match self.kind {
            Kind::Bounded { records, .. } => Some(records),
            Kind::Live { .. } => None,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        match self.kind {
            Kind::Live { rate, .. } => write!(f, "seed {seed}, {rate} records/s"),
            Kind::Bounded { records, days: 1, .. } => write!(f, "seed {seed}, {records} records"),
            Kind::Bounded { records, days, .. } => {
                write!(f, "seed {seed}, {records} records over {days} days")
            }
        }
    }
}

/// Whether rows under way meet a change differently before and after it (warehouse 1.3.4).
fn depends_on_its_instant(change: &config::Change) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    let kept = |column| after.columns().any(|other| other == column);
    before.sink_table != after.sink_table || !before.columns().all(kept)
}

fn path(data: &Path) -> PathBuf {
    data.join("demo.json")
}

/// Refused like a job that does not fit its saved state: starting again does not help.
fn refused(reason: String) -> JobError {
    JobError { job: NAME.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(data: &Path, records: Option<u64>) -> Request {
        Request {
            data: data.to_owned(),
            workers: 1,
            seed: 7,
            records,
            exit_when_done: false,
            days: 1,
            rate: 2_000,
            json: false,
            epoch_interval_ms: 1_000,
            quarantine: Vec::new(),
            panic_at: Vec::new(),
            crash_at: Vec::new(),
            settings: jobs::Settings::default(),
            supervisor: None,
        }
    }

    #[test]
    fn a_second_start_has_the_stream_of_the_first() {
        for records in [None, Some(5_000)] {
            let dir = tempfile::tempdir().expect("a directory");
            let request = request(dir.path(), records);
            let first = Stream::of_directory(&request, true, 1_000_000).expect("new");
            let second = Stream::of_directory(&request, false, 2_000_000).expect("the same");
            assert_eq!(first, second);
            assert_eq!(first.records(), records);
        }
    }

    #[test]
    fn another_stream_is_refused_with_both_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = request(dir.path(), None);
        Stream::of_directory(&first, true, 0).expect("new");
        let others = [
            Request { seed: 8, ..first.clone() },
            Request { rate: 10, ..first.clone() },
            Request { records: Some(5), ..first.clone() },
        ];
        for other in others {
            let error = Stream::of_directory(&other, false, 0).expect_err("refused");
            let text = error.to_string();
            assert!(error.is::<JobError>(), "{text}");
            let data = dir.path().display().to_string();
            for part in [data.as_str(), "seed 7, 2000 records/s", "not with seed "] {
                assert!(text.contains(part), "{text}");
            }
        }
    }

    #[test]
    fn a_directory_of_another_kind_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let error =
            Stream::of_directory(&request(dir.path(), None), false, 0).expect_err("foreign");
        assert!(error.to_string().contains("is no demo"), "{error}");
        assert!(!path(dir.path()).exists());
    }

    #[test]
    fn the_shop_goes_along_with_the_logs() {
        let dir = tempfile::tempdir().expect("a directory");
        let bounded = Stream::asked(&request(dir.path(), Some(50_000)), 0);
        let shop = bounded.shop();
        let records = shop.bootstrap_records() + 10_000;
        assert_eq!(bounded.records_of(layer::SHOP), Some(records));
        let config = bounded.config(&shop).expect("a config table");
        assert_eq!(bounded.records_of(layer::CONFIG), Some(config.records()));
        let last = config.change(config.records() - 1).expect("a change");
        assert!((records / 2..records).contains(&last.due), "{} of {records}", last.due);
        let changes = (0..config.records()).filter_map(|number| config.change(number));
        assert!(changes.clone().count() >= 5, "tables come late, get wider, go and come again");
        assert!(!changes.clone().any(depends_on_its_instant));

        let live = Stream::asked(&request(dir.path(), None), 0);
        assert_eq!(live.shop().settings().records_per_second, 400);
        assert_eq!(live.records_of(layer::SHOP), None);
        assert!(live.config(&live.shop()).is_some());
        let silent = Request { rate: 0, ..request(dir.path(), None) };
        let silent = Stream::asked(&silent, 0);
        assert!(silent.config(&silent.shop()).is_none());
    }

    #[test]
    fn days_end_at_the_first_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let now_ms = 1_700_000_000_000;
        let request = Request { days: 3, ..request(dir.path(), Some(100)) };
        let stream = Stream::of_directory(&request, true, now_ms).expect("new");
        let last = stream.generator().arrival_ms(99);
        assert!((now_ms - 86_400_000..=now_ms).contains(&last), "{last}");
        assert!(stream.generator().arrival_ms(0) < now_ms - 2 * 86_400_000);
    }
}
