//! Page records, first visits and jumps of a generated stream: the three dwd topics as a bench needs
//! them, made without the engine.
//!
//! First visits and jumps are those of the records in the order in which they came; where the
//! generator puts some out of order, the jobs decide a few differently. As input that is as good.

use anyhow::{Context as _, Result};
use connectors::format::app_log::{
    AppLog, AppLogParser, Endings, Layout, Main, Split, SplitOptions,
};
use engine::hash::Map;
use engine::time::zone::{Date, Zone};
use jobs::dwd::log_split;
use jobs::generate::{Generator, Settings, Shares};

use crate::embedded::Embedded;
use crate::numbered_list::{ListBuilder, NumberedList};
use crate::pair::Given;

/// The topic of page records.
pub(crate) const PAGES: &str = log_split::TOPICS[0];
/// Within so many milliseconds another page must follow, or the entry page is a jump.
pub(crate) const WITHIN_MS: i64 = 10_000;

/// The three topics.
pub(crate) struct Pages {
    pub(crate) pages: NumberedList,
    pub(crate) visitors: NumberedList,
    pub(crate) jumps: NumberedList,
}

/// Makes the page topic of a bench.
pub(crate) fn feed_pages(given: &Given) -> Result<u32> {
    let made = Pages::make(given.records)?;
    Embedded::open(&given.dir)?.feed(PAGES, made.pages)?;
    Ok(given.records)
}

/// A page that waits for the next one of its device.
pub(crate) struct Entry {
    pub(crate) time_ms: i64,
    pub(crate) value: Vec<u8>,
}

/// First visits of a day, by the rule of `unique_visitor`, without putting records in order.
pub(crate) struct FirstVisits {
    zone: Zone,
    last: Map<Vec<u8>, Date>,
}

/// Jumps by the rule of `user_jump`, likewise.
#[derive(Default)]
pub(crate) struct Jumps {
    undecided: Map<Vec<u8>, Entry>,
}

/// Settings of the generator: a thousand records make a second of event time, visits have pages
/// seconds apart, nothing is late or broken.
fn settings() -> Settings {
    let shares = Shares { broken: 0, odd: 0, late: 0, very_late: 0, ..Shares::default() };
    Settings { mids: 32_000, shares, ..Settings::default() }
}

impl Pages {
    /// Those of a stream with so many page records.
    pub(crate) fn make(records: u32) -> Result<Self> {
        let mut cursor = Generator::new(settings()).open(0);
        let (mut parser, mut line, mut layout) = (AppLogParser::default(), Vec::new(), Vec::new());
        let (mut pages, mut visitors) = (ListBuilder::default(), ListBuilder::default());
        let (mut first, mut jumps, mut found) = (FirstVisits::new()?, Jumps::default(), Vec::new());
        let mut made = 0;
        while made < records {
            line.clear();
            layout.clear();
            cursor.next(&mut line).context("the stream has no end")?;
            let Ok(log) = parser.parse(&line) else { continue };
            if log.main() != Main::Page {
                continue;
            }
            log.write_layout(&mut layout);
            let mut page = Vec::new();
            let options = SplitOptions::default();
            let (layout, mut endings) = (Layout::read(&layout), Endings::default());
            Split::new(&line, layout, false, options, &mut endings).write_main(&mut page);
            let mid = log.mid().as_bytes();
            pages.push(mid, &page);
            made += 1;
            if first.is_first(&log) {
                visitors.push(mid, &page);
            }
            let jump = jumps.next(&log, &page);
            found.extend(jump.map(|entry| (entry.time_ms, mid.to_vec(), entry.value)));
        }
        found.extend(jumps.rest());
        // As a job writes them: in order of their time.
        found.sort();
        let mut jumps = ListBuilder::default();
        found.iter().for_each(|(_, mid, page)| jumps.push(mid, page));
        Ok(Self { pages: pages.finish(), visitors: visitors.finish(), jumps: jumps.finish() })
    }
}

impl FirstVisits {
    pub(crate) fn new() -> Result<Self> {
        let zone = Zone::named(&jobs::Settings::default().time_zone)?;
        Ok(Self { zone, last: Map::default() })
    }

    /// Whether the page is the first entry page of its device on its day.
    pub(crate) fn is_first(&mut self, page: &AppLog<'_>) -> bool {
        if page.last_page_id().is_some() {
            return false;
        }
        let (mid, date) = (page.mid().as_bytes(), self.zone.date(page.ts()));
        match self.last.get_mut(mid) {
            Some(last) if *last == date => false,
            Some(last) => {
                *last = date;
                true
            }
            None => {
                self.last.insert(mid.to_vec(), date);
                true
            }
        }
    }
}

impl Jumps {
    /// The entry page that turns out to be a jump by this page, whose record is `value`.
    pub(crate) fn next(&mut self, page: &AppLog<'_>, value: &[u8]) -> Option<Entry> {
        let (mid, time_ms) = (page.mid().as_bytes(), page.ts());
        let entry = page.last_page_id().is_none();
        let before = if entry {
            self.undecided.insert(mid.to_vec(), Entry { time_ms, value: value.to_vec() })
        } else {
            self.undecided.remove(mid)
        };
        before.filter(|before| entry || time_ms - before.time_ms >= WITHIN_MS)
    }

    /// Those that nothing followed: time, device and record.
    pub(crate) fn rest(self) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
        let rest = self.undecided.into_iter();
        let mut rest: Vec<_> = rest.map(|(mid, entry)| (entry.time_ms, mid, entry.value)).collect();
        rest.sort();
        rest
    }
}
