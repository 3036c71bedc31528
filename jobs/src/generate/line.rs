//! The text of a record: JSON written by hand, members in alphabetical order as the app writes them.
//!
//! Nothing is escaped here: the tables of the generator hold no character that needs it, except the
//! stack traces, whose line ends are written as escapes on purpose. A new table entry with a quote
//! or a backslash would break every line it occurs in; the tests parse enough lines to see it.

use std::ops::Range;

use super::device::Device;
use super::page::Page;
use super::random::Random;
use super::visit::{Step, Visit};

const KEYWORDS: &[&str] = &[
    "小米",
    "口红",
    "手机",
    "苹果手机",
    "联想 笔记本",
    "电视",
    "盒子",
    "香水",
    "图书",
    "ps5",
    "red shoes",
    "机械键盘",
    "连衣裙 夏季",
    "usb c cable",
    "金沙河 面条",
    "香奈儿",
    "air fryer",
    "儿童 手表",
];

const SOURCES: &[(u32, &str)] =
    &[(40, "query"), (25, "promotion"), (15, "recommend"), (20, "activity")];

const ENTRIES: &[(u32, &str)] = &[(75, "icon"), (20, "notice"), (5, "install")];

const CLASSES: &[&str] = &["AppError", "NetClient", "ImageLoader", "PayGate", "CartView"];

/// Which members of a record are left out or spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    NoCommon,
    NoMid,
    NoTs,
    NoIsNew,
    WordForIsNew,
    StartAndPage,
    NoMain,
    DisplaysNotArray,
}

/// What one record says, apart from its random details.
pub(super) struct Record<'a> {
    pub(super) visit: &'a Visit,
    pub(super) time_ms: i64,
    /// No time in the record is greater.
    pub(super) end_ms: i64,
    pub(super) error: bool,
    pub(super) flaw: Flaw,
}

impl Record<'_> {
    /// Appends the line, without a line end; the range of the mid in `out`.
    pub(super) fn write(&self, random: &mut Random, out: &mut Vec<u8>) -> Range<usize> {
        let step = self.visit.step();
        out.push(b'{');
        if let Step::Page { page, .. } = step {
            self.actions(page, random, out);
        }
        let mid = self.common(out);
        if let Step::Page { page, .. } = step {
            self.displays(page, random, out);
        }
        self.main(step, random, out);
        if self.flaw == Flaw::NoTs {
            text(out, "}");
        } else {
            text(out, ",\"ts\":");
            integer(out, self.time_ms);
            text(out, "}");
        }
        mid
    }

    fn main(&self, step: Step, random: &mut Random, out: &mut Vec<u8>) {
        if self.error || self.flaw == Flaw::NoMain {
            error(random, out);
        }
        if self.flaw == Flaw::NoMain {
            return;
        }
        if let Step::Page { page, last } = step {
            self.page(page, last, random, out);
        }
        if step == Step::Start || self.flaw == Flaw::StartAndPage {
            start(random, out);
        }
    }

    fn common(&self, out: &mut Vec<u8>) -> Range<usize> {
        if self.flaw == Flaw::NoCommon {
            text(out, "\"application\":\"shop\"");
            return 0..0;
        }
        let Device { area, brand, channel, model, system, version, .. } = self.visit.device;
        for part in ["\"common\":{\"ar\":\"", area, "\",\"ba\":\"", brand, "\",\"ch\":\"", channel]
        {
            text(out, part);
        }
        text(
            out,
            match (self.flaw, self.visit.is_new(self.time_ms)) {
                (Flaw::NoIsNew, _) => "\"",
                (Flaw::WordForIsNew, _) => "\",\"is_new\":\"yes\"",
                (_, true) => "\",\"is_new\":\"1\"",
                (_, false) => "\",\"is_new\":\"0\"",
            },
        );
        text(out, ",\"md\":\"");
        text(out, model);
        let mid = self.mid(out);
        text(out, "\",\"os\":\"");
        text(out, system);
        if let Some(uid) = self.visit.uid() {
            text(out, "\",\"uid\":\"");
            integer(out, i64::from(uid));
        }
        text(out, "\",\"vc\":\"");
        text(out, version);
        text(out, "\"}");
        mid
    }

    fn mid(&self, out: &mut Vec<u8>) -> Range<usize> {
        if self.flaw == Flaw::NoMid {
            return 0..0;
        }
        text(out, "\",\"mid\":\"");
        let begin = out.len();
        text(out, "mid_");
        integer(out, i64::from(self.visit.device.number));
        begin..out.len()
    }

    fn actions(&self, page: Page, random: &mut Random, out: &mut Vec<u8>) {
        let kinds = page.actions();
        if kinds.is_empty() || !random.chance(4_500) {
            return;
        }
        let mut time_ms = self.time_ms;
        text(out, "\"actions\":[");
        for index in 0..random.between(1, 2) {
            time_ms = (time_ms + i64::from(random.between(300, 4_000))).min(self.end_ms);
            text(out, if index == 0 { "{\"action_id\":\"" } else { ",{\"action_id\":\"" });
            text(out, random.pick(kinds));
            text(out, "\",\"item\":\"");
            integer(out, i64::from(self.visit.sku));
            text(out, "\",\"item_type\":\"sku_id\",\"ts\":");
            integer(out, time_ms);
            text(out, "}");
        }
        text(out, "],");
    }

    fn displays(&self, page: Page, random: &mut Random, out: &mut Vec<u8>) {
        if self.flaw == Flaw::DisplaysNotArray {
            return text(out, ",\"displays\":{\"item\":\"3\"}");
        }
        let (least, most) = page.displays();
        let count = random.between(least, most);
        if count == 0 {
            return;
        }
        text(out, ",\"displays\":[");
        for order in 1..=count {
            text(out, if order == 1 { "{\"display_type\":\"" } else { ",{\"display_type\":\"" });
            display(page, order, random, out);
        }
        text(out, "]");
    }

    fn page(&self, page: Page, last: Option<Page>, random: &mut Random, out: &mut Vec<u8>) {
        text(out, ",\"page\":{\"during_time\":");
        integer(out, i64::from(random.between(5_000, 20_000)));
        let has_item = self.item(page, last, random, out);
        if let Some(last) = last {
            text(out, ",\"last_page_id\":\"");
            text(out, last.id());
            text(out, "\"");
        }
        text(out, ",\"page_id\":\"");
        text(out, page.id());
        if has_item {
            text(out, "\",\"source_type\":\"");
            text(out, random.pick_weighted(SOURCES, |&(weight, _)| weight).1);
        }
        text(out, "\"}");
    }

    /// Appends item and item_type where the page is about something; whether it is.
    fn item(&self, page: Page, last: Option<Page>, random: &mut Random, out: &mut Vec<u8>) -> bool {
        let (kind, number) = match page {
            Page::GoodDetail | Page::GoodSpec | Page::Comment | Page::CommentList => {
                ("sku_id", self.visit.sku)
            }
            Page::GoodList if last == Some(Page::Search) => {
                text(out, ",\"item\":\"");
                text(out, random.pick(KEYWORDS));
                text(out, "\",\"item_type\":\"keyword\"");
                return true;
            }
            Page::Activity => ("activity_id", random.between(1, 4)),
            Page::Payment | Page::PaymentDone => ("order_id", self.visit.order),
            Page::Trade => return self.items(random, out),
            Page::Home
            | Page::Category
            | Page::Discovery
            | Page::TopN
            | Page::Favor
            | Page::Search
            | Page::GoodList
            | Page::CommentDone
            | Page::Cart
            | Page::OrdersAll
            | Page::OrdersUnpaid
            | Page::OrdersUndelivered
            | Page::OrdersUnreceipted
            | Page::OrdersWaitComment
            | Page::Mine
            | Page::Login
            | Page::Register => return false,
        };
        text(out, ",\"item\":\"");
        integer(out, i64::from(number));
        text(out, "\",\"item_type\":\"");
        text(out, kind);
        text(out, "\"");
        true
    }

    /// Appends the list of what is being bought.
    fn items(&self, random: &mut Random, out: &mut Vec<u8>) -> bool {
        text(out, ",\"item\":\"");
        integer(out, i64::from(self.visit.sku));
        for _ in 0..random.below(3) {
            text(out, ",");
            integer(out, i64::from(random.between(1, self.visit.sku)));
        }
        text(out, "\",\"item_type\":\"sku_ids\"");
        true
    }
}

/// The members of one display behind the name of the first.
fn display(page: Page, order: u32, random: &mut Random, out: &mut Vec<u8>) {
    text(out, random.pick_weighted(SOURCES, |&(weight, _)| weight).1);
    text(out, "\",\"item\":\"");
    if page == Page::Home && order <= 2 {
        integer(out, i64::from(random.between(1, 4)));
        text(out, "\",\"item_type\":\"activity_id\",\"order\":");
    } else {
        integer(out, i64::from(random.between(1, 35)));
        text(out, "\",\"item_type\":\"sku_id\",\"order\":");
    }
    integer(out, i64::from(order));
    text(out, ",\"pos_id\":");
    integer(out, i64::from(random.between(1, 5)));
    text(out, "}");
}

fn start(random: &mut Random, out: &mut Vec<u8>) {
    text(out, ",\"start\":{\"entry\":\"");
    text(out, random.pick_weighted(ENTRIES, |&(weight, _)| weight).1);
    text(out, "\",\"loading_time\":");
    integer(out, i64::from(random.between(1_000, 20_000)));
    text(out, ",\"open_ad_id\":");
    integer(out, i64::from(random.between(1, 20)));
    text(out, ",\"open_ad_ms\":");
    integer(out, i64::from(random.between(1_000, 10_000)));
    text(out, ",\"open_ad_skip_ms\":");
    let skipped = random.chance(5_000);
    integer(out, if skipped { i64::from(random.between(1_000, 100_000)) } else { 0 });
    text(out, "}");
}

fn error(random: &mut Random, out: &mut Vec<u8>) {
    text(out, ",\"err\":{\"error_code\":");
    integer(out, i64::from(random.between(1_001, 4_001)));
    text(out, ",\"msg\":\" Exception in thread \\\"main\\\" java.lang.RuntimeException");
    for _ in 0..random.between(1, 4) {
        text(out, "\\n\\tat com.shop.app.");
        text(out, random.pick(CLASSES));
        text(out, ".run(App.java:");
        integer(out, i64::from(random.between(10, 400)));
        text(out, ")");
    }
    text(out, "\"}");
}

fn text(out: &mut Vec<u8>, part: &str) {
    out.extend_from_slice(part.as_bytes());
}

/// Appends a number in decimal.
fn integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut left = number.unsigned_abs();
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + u8::try_from(left % 10).expect("a digit");
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_as_the_standard_library_does() {
        for number in [0, 7, 10, 1_651_287_600_000, -1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            integer(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
