//! The floor: read each topic once, add to sums in memory, write all rows at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use connectors::format::app_log::{AppLog, AppLogParser, IsNew};
use engine::hash::{Map, Set};
use engine::time::zone::{Date, Zone};
use jobs::Settings;

use super::TOPICS;
use crate::embedded::Embedded;
use crate::pair::{Given, Outcome};
use crate::plain_files::PlainFiles;
use crate::usage::Measured;

const PAGES: [&str; 2] = ["home", "good_detail"];

/// Runs it.
pub(super) fn run(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let measured = Measured::begin()?;
    let settings = Settings::default();
    let mut sums = Sums {
        zone: settings.zone(),
        window_ms: settings.window_ms,
        traffic: Map::default(),
        views: Map::default(),
        seen: Set::default(),
        key: Vec::new(),
    };
    let mut parser = AppLogParser::default();
    for (index, topic) in TOPICS.into_iter().enumerate() {
        embedded.each(topic, &mut |row| {
            if let Ok(page) = parser.parse(row.value.unwrap_or_default()) {
                sums.add(index, &page);
            }
            Ok(())
        })?;
    }
    let mut files = PlainFiles::create(&given.dir, 2)?;
    sums.write(&mut files)?;
    let written = files.finish()?;
    Ok(Outcome { used: measured.end()?, written })
}

struct Sums {
    zone: Zone,
    window_ms: i64,
    /// By start and group: uv, sv, pv, dur, uj.
    traffic: Map<Vec<u8>, [i64; 5]>,
    /// By start: home, detail.
    views: Map<i64, [i64; 2]>,
    seen: Set<(Vec<u8>, Date, usize)>,
    key: Vec<u8>,
}

impl Sums {
    fn add(&mut self, topic: usize, page: &AppLog<'_>) {
        let start = page.ts() - page.ts().rem_euclid(self.window_ms);
        self.set_key(start, page);
        let entry = i64::from(page.last_page_id().is_none());
        let by = match topic {
            0 => [0, entry, 1, page.during_time().unwrap_or(0), 0],
            1 => [1, 0, 0, 0, 0],
            _ => [0, 0, 0, 0, 1],
        };
        match self.traffic.get_mut(&self.key) {
            Some(sums) => sums.iter_mut().zip(by).for_each(|(sum, by)| *sum += by),
            None => drop(self.traffic.insert(self.key.clone(), by)),
        }
        if topic == 0 {
            self.view(start, page);
        }
    }

    fn set_key(&mut self, start: i64, page: &AppLog<'_>) {
        self.key.clear();
        self.key.extend_from_slice(&start.to_be_bytes());
        let is_new = if page.is_new() == IsNew::One { "1" } else { "0" };
        for part in [page.vc(), page.ch(), page.ar(), Some(is_new)] {
            self.key.extend_from_slice(part.unwrap_or_default().as_bytes());
            self.key.push(0);
        }
    }

    fn view(&mut self, start: i64, page: &AppLog<'_>) {
        let Some(which) = PAGES.iter().position(|name| page.page_id() == Some(name)) else {
            return;
        };
        let date = self.zone.date(page.ts());
        if self.seen.insert((page.mid().as_bytes().to_vec(), date, which)) {
            self.views.entry(start).or_default()[which] += 1;
        }
    }

    /// The rows as the tables have them.
    fn write(self, files: &mut PlainFiles) -> Result<()> {
        let traffic: BTreeMap<_, _> = self.traffic.iter().collect();
        for (key, [uv, sv, pv, dur, uj]) in traffic {
            let (start, groups) = key.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
            let start = i64::from_be_bytes(*start);
            let groups = String::from_utf8_lossy(groups);
            let groups: Vec<&str> = groups.split('\0').collect();
            let [vc, ch, ar, is_new, _end] = groups[..] else { continue };
            let groups =
                format!("\"vc\":\"{vc}\",\"ch\":\"{ch}\",\"ar\":\"{ar}\",\"is_new\":\"{is_new}\",");
            let metrics = format!(
                "\"uv_ct\":{uv},\"sv_ct\":{sv},\"pv_ct\":{pv},\"dur_sum\":{dur},\"uj_ct\":{uj}"
            );
            files.push(0, b"", self.row(start, &groups, &metrics)?.as_bytes())?;
        }
        let views: BTreeMap<_, _> = self.views.iter().collect();
        for (start, [home, detail]) in views {
            let metrics = format!("\"home_uv_ct\":{home},\"good_detail_uv_ct\":{detail}");
            files.push(1, b"", self.row(*start, "", &metrics)?.as_bytes())?;
        }
        Ok(())
    }

    fn row(&self, start: i64, groups: &str, metrics: &str) -> Result<String> {
        let mut row = "{\"stt\":\"".to_owned();
        self.zone.write_time(start, &mut row)?;
        row.push_str("\",\"edt\":\"");
        self.zone.write_time(start + self.window_ms, &mut row)?;
        write!(row, "\",{groups}\"cur_date\":\"")?;
        self.zone.write_date_of(start, &mut row)?;
        write!(row, "\",{metrics}}}")?;
        Ok(row)
    }
}
