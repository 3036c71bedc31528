//! Reading one value: a single walk over its bytes, then the reasons in their order.
//!
//! Nothing is judged during the walk but the grammar: a member of the wrong type ends nothing by
//! itself, and an equal name further on replaces what was found before. So the order of members
//! never shows in the result. Nothing is allocated once the parser is warm, except for names that
//! hold escapes.
//!
//! This is the hottest path of the product. `examples/app_log_rate.rs` measures it.

use super::cut::Places;
use super::name::Name;
use super::reading::{Common, List, Page, Reading};
use super::record::{AppLog, IsNew, Main};
use super::{Dirty, Element};
use crate::format::json_scan::text::{Part, Text};
use crate::format::json_scan::{Malformed, Scanner, Span};

/// Reads values, one at a time. Keep one per worker: it holds the buffers.
#[derive(Debug, Default)]
pub struct AppLogParser {
    reading: Reading,
    arena: String,
}

impl AppLogParser {
    /// Reads one value.
    ///
    /// # Errors
    ///
    /// The first reason of warehouse 2.1 that makes the value a dead letter.
    pub fn parse<'a>(&'a mut self, value: &'a [u8]) -> Result<AppLog<'a>, Dirty> {
        let Ok(value) = str::from_utf8(value) else { return Err(Dirty::NotObject) };
        self.reading.clear();
        self.arena.clear();
        let mut walk = Walk { scanner: Scanner::new(value), arena: &mut self.arena };
        if walk.record(&mut self.reading).is_err() {
            return Err(Dirty::NotObject);
        }
        judge(value, &self.arena, &mut self.reading)
    }
}

/// Tests the reasons in their order.
fn judge<'a>(
    value: &'a str,
    arena: &'a str,
    reading: &'a mut Reading,
) -> Result<AppLog<'a>, Dirty> {
    let mid = reading.common.as_ref().ok_or(Dirty::NoCommon)?.mid;
    let mid = mid.filter(|mid| !mid.is_empty()).ok_or(Dirty::NoMid)?;
    let ts = reading.ts.filter(|(ts, _token)| *ts >= 0).ok_or(Dirty::BadTs)?;
    let main = match (reading.start, &reading.page, reading.err) {
        (Some(_), _, _) => Main::Start,
        (None, Some(_), _) => Main::Page,
        (None, None, Some(_)) => Main::None,
        (None, None, None) => return Err(Dirty::NoMain),
    };
    reading.cut(main);
    let reading = &*reading;
    let common = reading.common.as_ref().ok_or(Dirty::NoCommon)?;
    Ok(AppLog { value, arena, reading, common, mid, ts, main })
}

/// The walk over one value.
struct Walk<'w> {
    scanner: Scanner<'w>,
    arena: &'w mut String,
}

impl Walk<'_> {
    fn record(&mut self, reading: &mut Reading) -> Result<(), Malformed> {
        self.scanner.skip_space();
        if !self.scanner.at_object()? {
            return Err(Malformed);
        }
        self.scanner.enter()?;
        let mut places = Places::default();
        let mut first = true;
        while let Some(quoted) = self.scanner.next_name(first)? {
            first = false;
            let start = quoted.token().start;
            if let Some((_name, place)) = reading.removable.last_mut() {
                place.followed_by(start);
            }
            let name = Name::of(quoted, self.scanner.value());
            self.member(name, reading)?;
            let place = places.pass(start, self.scanner.at());
            if let Name::Err | Name::Displays | Name::Actions = name {
                reading.removable.push((name, place));
            }
        }
        self.scanner.finish()
    }

    /// The value of a member of the record.
    fn member(&mut self, name: Name, reading: &mut Reading) -> Result<(), Malformed> {
        match name {
            Name::Common => reading.common = self.common()?,
            Name::Page => reading.page = self.page()?,
            Name::Start => reading.start = self.object()?,
            Name::Err => reading.err = self.scanner.not_null()?,
            Name::Ts => reading.ts = self.scanner.integer()?,
            Name::Displays => self.list(&mut reading.displays)?,
            Name::Actions => self.list(&mut reading.actions)?,
            _ => self.scanner.skip()?,
        }
        Ok(())
    }

    fn common(&mut self) -> Result<Option<Common>, Malformed> {
        if !self.scanner.at_object()? {
            self.scanner.skip()?;
            return Ok(None);
        }
        let mut common = Common::default();
        common.span.start = self.scanner.at();
        self.scanner.enter()?;
        let mut first = true;
        while let Some(name) = self.scanner.next_name(first)? {
            first = false;
            match Name::of(name, self.scanner.value()) {
                Name::Mid => common.mid = self.text_or_number()?,
                Name::Vc => common.vc = self.part()?,
                Name::Ch => common.ch = self.part()?,
                Name::Ar => common.ar = self.part()?,
                Name::Uid => common.uid = self.text_or_number()?,
                Name::IsNew => self.is_new(&mut common)?,
                _ => self.scanner.skip()?,
            }
        }
        common.span.end = self.scanner.at();
        Ok(Some(common))
    }

    fn page(&mut self) -> Result<Option<Page>, Malformed> {
        if !self.scanner.at_object()? {
            self.scanner.skip()?;
            return Ok(None);
        }
        let mut page = Page::default();
        page.span.start = self.scanner.at();
        self.scanner.enter()?;
        let mut first = true;
        while let Some(name) = self.scanner.next_name(first)? {
            first = false;
            match Name::of(name, self.scanner.value()) {
                Name::PageId => page.page_id = self.scanner.text(self.arena)?,
                Name::LastPageId => page.last_page_id = self.part_or_number()?,
                Name::Item => page.item = self.scanner.text(self.arena)?,
                Name::ItemType => page.item_type = self.scanner.text(self.arena)?,
                Name::DuringTime => {
                    page.during_time =
                        self.scanner.integer()?.map(|(during_time, _token)| during_time);
                }
                _ => self.scanner.skip()?,
            }
        }
        page.span.end = self.scanner.at();
        Ok(Some(page))
    }

    fn list(&mut self, list: &mut List) -> Result<(), Malformed> {
        list.clear();
        if self.scanner.peek()? != b'[' {
            list.not_array = true;
            return self.scanner.skip();
        }
        self.scanner.enter()?;
        let mut places = Places::default();
        let mut first = true;
        while self.scanner.next_item(first)? {
            first = false;
            let start = self.scanner.at();
            if let Some(place) = list.bad.last_mut() {
                place.followed_by(start);
            }
            let good = self.scanner.at_object()?;
            if good {
                list.elements.push(self.element()?);
            } else {
                self.scanner.skip()?;
            }
            let place = places.pass(start, self.scanner.at());
            if !good {
                list.bad.push(place);
            }
        }
        Ok(())
    }

    /// An object in `displays` or `actions`; looks out for names that its output adds.
    fn element(&mut self) -> Result<Element, Malformed> {
        let mut element = Element::default();
        element.span.start = self.scanner.at();
        self.scanner.enter()?;
        let mut first = true;
        while let Some(name) = self.scanner.next_name(first)? {
            first = false;
            match Name::of(name, self.scanner.value()) {
                Name::Ts => element.has_ts = true,
                Name::Common | Name::Page => element.has_parts = true,
                _ => {}
            }
            self.scanner.skip()?;
        }
        element.span.end = self.scanner.at();
        Ok(element)
    }

    fn object(&mut self) -> Result<Option<Span>, Malformed> {
        let object = self.scanner.at_object()?;
        Ok(Some(self.scanner.skip_spanned()?).filter(|_span| object))
    }

    #[inline]
    fn text_or_number(&mut self) -> Result<Option<Text>, Malformed> {
        match self.scanner.peek()? {
            b'-' | b'0'..=b'9' => Ok(Some(Text::verbatim(self.scanner.number()?.span))),
            _ => self.scanner.text(self.arena),
        }
    }

    #[inline]
    fn part(&mut self) -> Result<Option<Part>, Malformed> {
        if self.scanner.peek()? != b'"' {
            return Ok(self.scanner.not_null()?.map(Part::Json));
        }
        let quoted = self.scanner.string()?;
        let text = Text::of(quoted, self.scanner.value(), self.arena);
        Ok(Some(text.map_or(Part::Json(quoted.token()), Part::Text)))
    }

    #[inline]
    fn part_or_number(&mut self) -> Result<Option<Part>, Malformed> {
        match self.scanner.peek()? {
            b'-' | b'0'..=b'9' => Ok(self.text_or_number()?.map(Part::Text)),
            _ => self.part(),
        }
    }

    fn is_new(&mut self, common: &mut Common) -> Result<(), Malformed> {
        let start = self.scanner.at();
        let part = self.part()?;
        let token = Span { start, end: self.scanner.at() };
        let text = part.and_then(Part::text);
        let text = text.map(|text| text.read(self.scanner.value(), self.arena));
        common.is_new = match text {
            Some("0") => IsNew::Zero,
            Some("1") => IsNew::One,
            _ => IsNew::Other,
        };
        let other = common.is_new == IsNew::Other;
        common.is_new_token = (!other).then_some(token);
        common.is_new_other = part.filter(|_part| other);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEPTH_MAX;
    use super::*;

    const COMMON: &str = r#""common":{"mid":"m","is_new":"1"}"#;
    const REST: &str = r#""page":{},"ts":1"#;

    fn reason(value: &[u8]) -> &'static str {
        AppLogParser::default().parse(value).err().map_or("none", Dirty::as_str)
    }

    /// `@` stands for a good `common`, `$` for a good page and ts.
    fn full(pattern: &str) -> String {
        pattern.replace('@', COMMON).replace('$', REST)
    }

    #[test]
    fn the_first_reason_in_the_order_of_the_table_holds() {
        for (value, expected) in [
            ("", "not_object"),
            (" \t\r\n", "not_object"),
            ("hello", "not_object"),
            ("null", "not_object"),
            ("7", "not_object"),
            (r#""{}""#, "not_object"),
            ("[{}]", "not_object"),
            (r#"{"common":{"mid":"mid_41","is_n"#, "not_object"),
            ("{@,$}x", "not_object"),
            ("{@,$}{@,$}", "not_object"),
            ("{@,$,}", "not_object"),
            ("\u{feff}{@,$}", "not_object"),
            ("{@,$,\"x\":\"a\tb\"}", "not_object"),
            (" {@,$} \r\n", "none"),
            ("{}", "no_common"),
            ("{$}", "no_common"),
            (r#"{"common":null,$}"#, "no_common"),
            (r#"{"common":"mid",$}"#, "no_common"),
            (r#"{"common":[{"mid":"m"}],$}"#, "no_common"),
            (r#"{"common":7,"ts":"x"}"#, "no_common"),
            (r#"{"common":{},$}"#, "no_mid"),
            (r#"{"common":{"mid":null},$}"#, "no_mid"),
            (r#"{"common":{"mid":""},$}"#, "no_mid"),
            (r#"{"common":{"mid":true},$}"#, "no_mid"),
            (r#"{"common":{"mid":["m"]},$}"#, "no_mid"),
            (r#"{"common":{"mid":{"mid":"m"}},$}"#, "no_mid"),
            (r#"{"common":{"mid":"\ud800"},$}"#, "no_mid"),
            (r#"{"common":{}}"#, "no_mid"),
            (r#"{"mid":"m","common":{},$}"#, "no_mid"),
            (r#"{"common":{"mid":41},$}"#, "none"),
            (r#"{@,"page":{}}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":null}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":"1651287600000"}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":1651287600000.0}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":1e12}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":-1}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":-0}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":9223372036854775808}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":[1]}"#, "bad_ts"),
            (r#"{@,"page":{},"ts":true}"#, "bad_ts"),
            ("{@}", "bad_ts"),
            (r#"{@,"page":{},"ts":0}"#, "none"),
            (r#"{@,"page":{},"ts":9223372036854775807}"#, "none"),
            (r#"{@,"ts":1}"#, "no_main"),
            (r#"{@,"ts":1,"err":null}"#, "no_main"),
            (r#"{@,"ts":1,"start":null,"page":"home"}"#, "no_main"),
            (r#"{@,"ts":1,"start":[],"page":7}"#, "no_main"),
            (r#"{@,"ts":1,"start":{}}"#, "none"),
            (r#"{@,"ts":1,"err":0}"#, "none"),
            (r#"{@,"ts":1,"err":false}"#, "none"),
        ] {
            assert_eq!(reason(full(value).as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_last_of_equal_names_wins_at_every_level() {
        for (value, expected) in [
            (r#"{"common":7,@,$}"#, "none"),
            (r#"{@,"common":7,$}"#, "no_common"),
            (r#"{@,"common":{},$}"#, "no_mid"),
            (r#"{"common":{"mid":"","mid":"m"},$}"#, "none"),
            (r#"{"common":{"mid":"m","mid":7},$}"#, "none"),
            (r#"{"common":{"mid":"m","mid":null},$}"#, "no_mid"),
            (r#"{"common":{"mid":"m","m\u0069d":null},$}"#, "no_mid"),
            (r#"{@,$,"ts":"x"}"#, "bad_ts"),
            (r#"{@,$,"t\u0073":"x"}"#, "bad_ts"),
            (r#"{@,"ts":"x",$}"#, "none"),
            (r#"{@,$,"page":null}"#, "no_main"),
            (r#"{@,$,"err":1,"err":null,"page":null}"#, "no_main"),
            (r#"{@,$,"start":{},"page":null,"start":0,"err":1}"#, "none"),
        ] {
            assert_eq!(reason(full(value).as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn utf_8_is_checked_everywhere() {
        for pattern in
            [r#"{@,$,"x":"?"}"#, r#"{@,$,"?":1}"#, r#"{@,$,"x":[{"y":"?"}]}"#, "?", "{@,$}?"]
        {
            let value = full(pattern).into_bytes();
            for bad in [0xff, 0x80, 0xc3, 0xed] {
                let spoilt: Vec<u8> =
                    value.iter().map(|byte| if *byte == b'?' { bad } else { *byte }).collect();
                assert_eq!(reason(&spoilt), "not_object", "{pattern} {bad:x}");
            }
        }
        // A surrogate written in UTF-8, and a character written longer than it is.
        for bad in [&b"\xed\xa0\x80"[..], b"\xc0\xaf", b"\xf5\x80\x80\x80"] {
            let value = [full("{@,$,\"x\":\"").as_bytes(), bad, b"\"}"].concat();
            assert_eq!(reason(&value), "not_object", "{bad:?}");
        }
    }

    #[test]
    fn depth_counts_from_the_record_itself() {
        for (levels, expected) in [(DEPTH_MAX, "none"), (DEPTH_MAX + 1, "not_object")] {
            let inner = levels - 1;
            let arrays = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
            let objects = format!("{}1{}", "{\"a\":".repeat(inner), "}".repeat(inner));
            for deep in [arrays, objects] {
                assert_eq!(reason(full(&format!("{{@,$,\"x\":{deep}}}")).as_bytes()), expected);
                assert_eq!(reason(full(&format!("{{\"x\":{deep},@,$}}")).as_bytes()), expected);
            }
            let inner = inner - 1;
            let page = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
            let value = full(&format!("{{@,\"ts\":1,\"page\":{{\"item\":{page}}}}}"));
            assert_eq!(reason(value.as_bytes()), expected);
        }
        assert_eq!(reason("[".repeat(1_000_000).as_bytes()), "not_object");
        assert_eq!(reason("{\"a\":".repeat(1_000_000).as_bytes()), "not_object");
    }

    #[test]
    fn the_grammar_is_all_that_is_asked_of_unknown_members() {
        for value in [
            r#"{@,$,"x":"\ud800"}"#,
            r#"{@,$,"\udc00":1}"#,
            r#"{@,$,"x":1e999}"#,
            r#"{@,$,"x":123456789012345678901234567890}"#,
            r#"{@,$,"\ud800mid":[]}"#,
        ] {
            assert_eq!(reason(full(value).as_bytes()), "none", "{value}");
        }
    }

    /// The text of a member of `common` and of one of `page`, both with this value.
    fn texts(value: &str) -> [Option<String>; 5] {
        let record = format!(
            r#"{{"common":{{"mid":"m","vc":{value},"uid":{value}}},"ts":1,
                "page":{{"item":{value},"last_page_id":{value},"pag\u0065_id":{value}}}}}"#
        );
        let mut parser = AppLogParser::default();
        let log = parser.parse(record.as_bytes()).expect("a clean record");
        [log.vc(), log.uid(), log.item(), log.last_page_id(), log.page_id()]
            .map(|text| text.map(str::to_owned))
    }

    #[test]
    fn texts_are_decoded_and_other_types_are_absent() {
        for (value, text, id) in [
            (r#""v2.1.134""#, Some("v2.1.134"), Some("v2.1.134")),
            (r#""""#, Some(""), Some("")),
            (r#""口\u7ea2""#, Some("口红"), Some("口红")),
            (r#""\ud800""#, None, None),
            ("null", None, None),
            ("17", None, Some("17")),
            ("-1.50e3", None, Some("-1.50e3")),
            ("true", None, None),
            (r#"["a"]"#, None, None),
            (r#"{"vc":"a"}"#, None, None),
        ] {
            let (text, id) = (text.map(str::to_owned), id.map(str::to_owned));
            let expected = [text.clone(), id.clone(), text.clone(), id, text];
            assert_eq!(texts(value), expected, "{value}");
        }
    }

    #[test]
    fn the_key_is_the_decoded_mid_or_the_text_of_its_number() {
        for (mid, key) in [
            (r#""mid_41""#, "mid_41"),
            (r#""mid_4\u0031""#, "mid_41"),
            ("41", "41"),
            ("41.0", "41.0"),
            ("1E5", "1E5"),
            (r#"" ""#, " "),
        ] {
            let record = full(&format!("{{\"common\":{{\"mid\":{mid}}},$}}"));
            let mut parser = AppLogParser::default();
            let log = parser.parse(record.as_bytes()).expect("a clean record");
            assert_eq!((log.mid(), log.ts()), (key, 1), "{mid}");
        }
    }

    #[test]
    fn is_new_is_one_of_two_texts_or_bad() {
        for (value, expected) in [
            (r#""0""#, IsNew::Zero),
            (r#""1""#, IsNew::One),
            (r#""\u0030""#, IsNew::Zero),
            (r#""\u0031""#, IsNew::One),
            (r#""2""#, IsNew::Other),
            (r#""01""#, IsNew::Other),
            (r#""""#, IsNew::Other),
            ("0", IsNew::Other),
            ("1", IsNew::Other),
            ("true", IsNew::Other),
            ("null", IsNew::Other),
            (r#"["1"]"#, IsNew::Other),
            (r#""1","is_new":7"#, IsNew::Other),
            (r#"7,"is_new":"1""#, IsNew::One),
        ] {
            let record = full(&format!("{{\"common\":{{\"mid\":1,\"is_new\":{value}}},$}}"));
            let mut parser = AppLogParser::default();
            let log = parser.parse(record.as_bytes()).expect("a clean record");
            assert_eq!(log.is_new(), expected, "{value}");
            assert_eq!(log.is_new_token().is_some(), expected != IsNew::Other, "{value}");
        }
    }

    #[test]
    fn during_time_is_an_integer_or_absent() {
        for (value, expected) in [
            ("8100", Some(8100)),
            ("-5", Some(-5)),
            ("-0", None),
            ("8100.0", None),
            ("8e3", None),
            (r#""8100""#, None),
            ("null", None),
            ("9223372036854775808", None),
        ] {
            let record = full(&format!("{{@,\"ts\":1,\"page\":{{\"during_time\":{value}}}}}"));
            let mut parser = AppLogParser::default();
            let log = parser.parse(record.as_bytes()).expect("a clean record");
            assert_eq!(log.during_time(), expected, "{value}");
        }
    }

    #[test]
    fn kinds_and_bad_members_are_told() {
        use Main::{None, Page, Start};
        for (rest, main, both, bad) in [
            (r#""start":{}"#, Start, false, 0),
            (r#""page":{}"#, Page, false, 0),
            (r#""err":{}"#, None, false, 0),
            (r#""start":{},"page":{}"#, Start, true, 0),
            (r#""start":null,"page":{}"#, Page, false, 0),
            (r#""start":{},"page":null"#, Start, false, 0),
            (r#""page":{},"displays":[]"#, Page, false, 0),
            (r#""page":{},"displays":null"#, Page, false, 1),
            (r#""page":{},"displays":{},"actions":"x""#, Page, false, 2),
            (r#""page":{},"displays":[1,{},"x",[],{}],"actions":[null]"#, Page, false, 4),
            (r#""page":{},"displays":[1,2],"displays":[{}]"#, Page, false, 0),
            (r#""page":{},"displays":[{}],"displays":7"#, Page, false, 1),
            (r#""start":{},"displays":7,"actions":[1]"#, Start, false, 0),
            (r#""start":{},"page":{},"displays":7,"actions":[1]"#, Start, true, 0),
            (r#""err":{},"displays":7,"actions":[1]"#, None, false, 0),
        ] {
            let record = full(&format!("{{@,{rest},\"ts\":1}}"));
            let mut parser = AppLogParser::default();
            let log = parser.parse(record.as_bytes()).expect("a clean record");
            assert_eq!(
                (log.main(), log.start_and_page(), log.bad_members()),
                (main, both, bad),
                "{rest}"
            );
        }
    }

    #[test]
    fn nothing_of_a_record_is_left_for_the_next() {
        let rich = full(
            r#"{"common":{"mid":"m\u0031","uid":"\u0031","vc":"v","is_new":"1"},"start":{},"err":1,
                "displays":[1,{}],"actions":[{}],"page":{"item":"i"},"ts":5}"#,
        );
        let plain = full(r#"{"common":{"mid":"n"},"page":{},"ts":6}"#);
        let mut parser = AppLogParser::default();
        for _round in 0..2 {
            assert!(parser.parse(rich.as_bytes()).is_ok_and(|log| log.mid() == "m1"));
            assert_eq!(parser.parse(b"{").err(), Some(Dirty::NotObject));
            assert_eq!(parser.parse(b"{}").err(), Some(Dirty::NoCommon));
            let log = parser.parse(plain.as_bytes()).expect("a clean record");
            assert_eq!((log.mid(), log.ts(), log.main()), ("n", 6, Main::Page));
            assert_eq!(
                (log.uid(), log.vc(), log.item(), log.is_new()),
                (None, None, None, IsNew::Other)
            );
            assert_eq!((log.displays().len(), log.actions().len(), log.bad_members()), (0, 0, 0));
            assert!(!log.has_err() && log.reading.main_cuts.is_empty());
        }
    }
}
