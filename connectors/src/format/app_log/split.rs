//! Splitting a record: its error, main, display and action records, by copying ranges.
//!
//! Each `write_*` appends one JSON object to a buffer that the caller owns. Nothing is parsed, but
//! where a name may clash: rarely in the nested shape (the element itself has a member `common`,
//! `page` or `ts`), always in the flat one.
//!
//! No output holds a name twice because of the split: the name that an output adds wins over the
//! same name inside the element. Doubles that were inside one object before stay; their last one
//! wins for consumers as it did here.
//!
//! | shape   | display record                                   | action record                      |
//! |---------|--------------------------------------------------|------------------------------------|
//! | nested  | element members, common, page, ts                | element members, common, page      |
//! | wrapped | display, common, page, ts                        | action, common, page, ts           |
//! | flat    | element members, those of common, of page, ts    | the same, ts being the element's   |
//!
//! Misuse: the value must be the one that the layout was written for, and an element must come from
//! this layout.

use super::flat;
use super::members::members;
use super::name::Name;
use super::record::Main;
use super::{Element, Layout};
use crate::format::json_scan::Span;

/// How display and action records are laid out (`log_split.shape`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Element members, then `common`, `page`, `ts`.
    #[default]
    Nested,
    /// The element under `display` or `action`, then `common`, `page`, `ts` of the record.
    Wrapped,
    /// Members of element, `common` and `page` side by side.
    Flat,
}

/// Who wins when the element and `page` or `common` have the same name in the flat shape
/// (`log_split.flat_clash`). Between `page` and `common` it is always `page`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlatClash {
    /// The element.
    #[default]
    Element,
    /// `page`, then `common`.
    Page,
}

/// What an error record is (`log_split.err`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrForm {
    /// The whole record.
    #[default]
    Whole,
    /// The object `err` alone. An `err` that is no object stays under its name: `{"err":...}`.
    SubObject,
    /// The same, then the record's `ts`.
    SubObjectTs,
}

/// Which `ts` an action record has (`log_split.action_ts`). The wrapped shape is not concerned: the
/// element in it is whole and the `ts` beside it is the record's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionTs {
    /// The element's, if it has one.
    #[default]
    Own,
    /// The record's.
    Page,
    /// None.
    None,
}

/// The switches of the split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitOptions {
    /// See [`Shape`].
    pub shape: Shape,
    /// See [`FlatClash`].
    pub flat_clash: FlatClash,
    /// See [`ErrForm`].
    pub err: ErrForm,
    /// See [`ActionTs`].
    pub action_ts: ActionTs,
}

/// Whether an element is from `displays` or `actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Display,
    Action,
}

/// One record about to be split.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    pub(super) value: &'a [u8],
    pub(super) layout: Layout<'a>,
    pub(super) options: SplitOptions,
    /// The `"1"` to be written as `"0"`.
    patch: Option<Span>,
}

impl<'a> Split<'a> {
    /// The split of `value`, whose layout is `layout`. `repaired` says that `is_new`, which is
    /// `"1"`, is to be `"0"` in every output.
    #[must_use]
    pub fn new(value: &'a [u8], layout: Layout<'a>, repaired: bool, options: SplitOptions) -> Self {
        debug_assert!(!repaired || layout.is_new_one.is_some(), "only a \"1\" is repaired");
        let patch = layout.is_new_one.filter(|_span| repaired);
        Self { value, layout, options, patch }
    }

    /// Whether the main record equals the value byte for byte, so that the value can be passed on.
    #[must_use]
    pub const fn is_main_plain(&self) -> bool {
        self.patch.is_none() && self.layout.main_cuts.is_empty()
    }

    /// Whether the error record equals the value byte for byte.
    #[must_use]
    pub const fn is_error_plain(&self) -> bool {
        matches!(self.options.err, ErrForm::Whole)
            && self.patch.is_none()
            && self.layout.error_cuts.is_empty()
    }

    /// Appends the error record; nothing when there is none.
    pub fn write_error(&self, out: &mut Vec<u8>) {
        let Some(err) = self.layout.err else { return };
        match self.options.err {
            ErrForm::Whole => self.copy_less(self.layout.error_cuts, out),
            ErrForm::SubObject => self.write_sub_object(err, false, out),
            ErrForm::SubObjectTs => self.write_sub_object(err, true, out),
        }
    }

    /// Appends the main record: the record less `err`, and less `displays` and `actions` if it is a
    /// page record. Nothing when there is no main record.
    pub fn write_main(&self, out: &mut Vec<u8>) {
        match self.layout.main() {
            Main::Start | Main::Page => self.copy_less(self.layout.main_cuts, out),
            Main::None => {}
        }
    }

    /// Appends the display record of an element of [`Layout::displays`].
    pub fn write_display(&self, element: Element, out: &mut Vec<u8>) {
        self.write_element(Kind::Display, element, out);
    }

    /// Appends the action record of an element of [`Layout::actions`].
    pub fn write_action(&self, element: Element, out: &mut Vec<u8>) {
        self.write_element(Kind::Action, element, out);
    }

    fn write_element(&self, kind: Kind, element: Element, out: &mut Vec<u8>) {
        let (common, page) = (self.layout.common, self.layout.page);
        out.reserve(element.span.len() + common.len() + page.len() + 64);
        match self.options.shape {
            Shape::Nested => self.write_nested(kind, element, out),
            Shape::Wrapped => self.write_wrapped(kind, element, out),
            Shape::Flat => flat::write(self, kind, element, out),
        }
    }

    fn write_nested(&self, kind: Kind, element: Element, out: &mut Vec<u8>) {
        let keeps_ts = self.keeps_own_ts(kind);
        let mut object = Object::open(out);
        if element.has_parts || (element.has_ts && !keeps_ts) {
            self.write_without_clash(element, keeps_ts, &mut object);
        } else {
            object.parts(self.inside(element.span));
        }
        self.write_common_and_page(&mut object);
        if self.adds_ts(kind) {
            self.write_ts(&mut object);
        }
        object.close();
    }

    fn write_wrapped(&self, kind: Kind, element: Element, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.parts(match kind {
            Kind::Display => b"\"display\":",
            Kind::Action => b"\"action\":",
        });
        object.out.extend_from_slice(element.span.of(self.value));
        self.write_common_and_page(&mut object);
        self.write_ts(&mut object);
        object.close();
    }

    /// The element's members but those that the record adds or the options leave out.
    fn write_without_clash(&self, element: Element, keeps_ts: bool, object: &mut Object<'_>) {
        for member in members(self.value, element.span) {
            match member.name() {
                Name::Common | Name::Page => {}
                Name::Ts if !keeps_ts => {}
                _ => object.parts(member.span.of(self.value)),
            }
        }
    }

    fn write_common_and_page(&self, object: &mut Object<'_>) {
        object.parts(b"\"common\":");
        self.copy(self.layout.common, object.out);
        object.parts(b"\"page\":");
        object.out.extend_from_slice(self.layout.page.of(self.value));
    }

    /// Appends the record's `ts`, its number as it is written.
    pub(super) fn write_ts(&self, object: &mut Object<'_>) {
        object.parts(b"\"ts\":");
        object.out.extend_from_slice(self.layout.ts.of(self.value));
    }

    fn write_sub_object(&self, err: Span, ts: bool, out: &mut Vec<u8>) {
        let whole = err.of(self.value);
        let is_object = whole.starts_with(b"{");
        if is_object && !ts {
            return out.extend_from_slice(whole);
        }
        let mut object = Object::open(out);
        if is_object {
            for member in members(self.value, err).filter(|member| member.name() != Name::Ts) {
                object.parts(member.span.of(self.value));
            }
        } else {
            object.parts(b"\"err\":");
            object.out.extend_from_slice(whole);
        }
        if ts {
            self.write_ts(&mut object);
        }
        object.close();
    }

    /// Whether the output has the element's `ts`.
    pub(super) fn keeps_own_ts(&self, kind: Kind) -> bool {
        kind == Kind::Action && self.options.action_ts == ActionTs::Own
    }

    /// Whether the output has the record's `ts`.
    pub(super) fn adds_ts(&self, kind: Kind) -> bool {
        kind == Kind::Display || self.options.action_ts == ActionTs::Page
    }

    /// What stands between the braces of an object.
    fn inside(&self, object: Span) -> &'a [u8] {
        Span { start: object.start + 1, end: object.end - 1 }.of(self.value)
    }

    fn copy_less(&self, cuts: impl Iterator<Item = Span>, out: &mut Vec<u8>) {
        out.reserve(self.value.len());
        let mut start = 0;
        for cut in cuts {
            self.copy(Span { start, end: cut.start }, out);
            start = cut.end;
        }
        self.copy(Span { start, end: self.value.len() }, out);
    }

    /// Copies a range, with `is_new` patched if that is in it.
    pub(super) fn copy(&self, span: Span, out: &mut Vec<u8>) {
        match self.patch {
            Some(patch) if span.contains(patch) => {
                out.extend_from_slice(&self.value[span.start..patch.start]);
                out.extend_from_slice(b"\"0\"");
                out.extend_from_slice(&self.value[patch.end..span.end]);
            }
            _ => out.extend_from_slice(span.of(self.value)),
        }
    }
}

/// A JSON object under construction: sees to the commas.
pub(super) struct Object<'o> {
    pub(super) out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins the next member.
    pub(super) fn next(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }

    /// Appends a member, several with their commas, or the beginning of one. White space alone is
    /// no member.
    pub(super) fn parts(&mut self, bytes: &[u8]) {
        if !bytes.trim_ascii_start().is_empty() {
            self.next();
            self.out.extend_from_slice(bytes);
        }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AppLogParser, IsNew};
    use super::*;

    /// Everything that a record gives, one line each: `E`, `M`, `D` or `A`, then the bytes. A main
    /// record that is the value itself is `M =`.
    fn lines(value: &str, repair: bool, options: SplitOptions) -> Vec<String> {
        let mut parser = AppLogParser::default();
        let log = parser.parse(value.as_bytes()).expect("a clean record");
        let mut layout = Vec::new();
        log.write_layout(&mut layout);
        let layout = Layout::read(&layout);
        let repaired = repair && log.is_new() == IsNew::One;
        let split = Split::new(value.as_bytes(), layout, repaired, options);
        let mut lines = Vec::new();
        let mut line = |mark: &str, write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = mark.as_bytes().to_vec();
            write(&mut out);
            lines.push(String::from_utf8(out).expect("copied from text"));
        };
        if layout.has_err() {
            line("E ", &|out| split.write_error(out));
        }
        for element in layout.displays() {
            line("D ", &|out| split.write_display(element, out));
        }
        for element in layout.actions() {
            line("A ", &|out| split.write_action(element, out));
        }
        if layout.main() == Main::None {
            line("", &|out| split.write_main(out));
            assert_eq!(lines.pop().as_deref(), Some(""), "there is no main record");
        } else if split.is_main_plain() {
            line("M =", &|_out| {});
        } else {
            line("M ", &|out| split.write_main(out));
        }
        lines
    }

    /// Checks the outputs of a record, in which `@` stands for a good `common`, as in the outputs.
    fn check(value: &str, options: SplitOptions, expected: &[&str]) {
        const COMMON: &str = r#""common":{"mid":"m","is_new":"1"}"#;
        let full = |text: &str| text.replace('@', COMMON);
        let expected: Vec<String> = expected.iter().map(|line| full(line)).collect();
        assert_eq!(lines(&full(value), false, options), expected, "{value}");
    }

    const DEFAULT: SplitOptions = SplitOptions {
        shape: Shape::Nested,
        flat_clash: FlatClash::Element,
        err: ErrForm::Whole,
        action_ts: ActionTs::Own,
    };
    const WRAPPED: SplitOptions = SplitOptions { shape: Shape::Wrapped, ..DEFAULT };
    const FLAT: SplitOptions = SplitOptions { shape: Shape::Flat, ..DEFAULT };

    #[test]
    fn the_reference_record_gives_the_reference_outputs() {
        let common = r#"{"ar":"330000","ba":"Xiaomi","ch":"oppo","is_new":"1","md":"Xiaomi 10 Pro","mid":"mid_41","os":"Android 11.0","uid":"88","vc":"v2.1.134"}"#;
        let page = r#"{"during_time":9000,"item":"12","item_type":"sku_id","last_page_id":"home","page_id":"good_detail","source_type":"promotion"}"#;
        let action =
            r#"{"action_id":"favor_add","item":"12","item_type":"sku_id","ts":1651287612500"#;
        let value = format!(
            r#"{{"actions":[{action}}}],"common":{common},"page":{page},"ts":1651287609100}}"#
        );
        for (repair, common) in
            [(false, common.to_owned()), (true, common.replace("\"1\"", "\"0\""))]
        {
            let expected = [
                format!(r#"A {action},"common":{common},"page":{page}}}"#),
                format!(r#"M {{"common":{common},"page":{page},"ts":1651287609100}}"#),
            ];
            assert_eq!(lines(&value, repair, DEFAULT), expected);
        }
    }

    #[test]
    fn each_kind_of_record_gives_its_outputs() {
        for (value, expected) in [
            (r#"{@,"start":{},"ts":1}"#, &["M ="][..]),
            (r#"{@,"page":{},"ts":1}"#, &["M ="]),
            (
                r#"{@,"err":{"c":1},"start":{},"ts":1}"#,
                &[r#"E {@,"err":{"c":1},"start":{},"ts":1}"#, r#"M {@,"start":{},"ts":1}"#],
            ),
            (r#"{@,"err":{"c":1},"ts":1}"#, &[r#"E {@,"err":{"c":1},"ts":1}"#]),
            (r#"{@,"err":null,"page":{},"ts":1}"#, &["M ="]),
            // A start record keeps its page, displays and actions, good or bad.
            (r#"{@,"start":{},"page":{},"displays":[{}],"actions":7,"ts":1}"#, &["M ="]),
            (
                r#"{@,"err":7,"displays":[7,{}],"ts":1}"#,
                &[r#"E {@,"err":7,"displays":[7,{}],"ts":1}"#],
            ),
            (
                r#"{@,"page":{"p":1},"displays":[{"a":1},{}],"actions":[{"b":1,"ts":2}],"ts":1,"err":0}"#,
                &[
                    r#"E {@,"page":{"p":1},"displays":[{"a":1},{}],"actions":[{"b":1,"ts":2}],"ts":1,"err":0}"#,
                    r#"D {"a":1,@,"page":{"p":1},"ts":1}"#,
                    r#"D {@,"page":{"p":1},"ts":1}"#,
                    r#"A {"b":1,"ts":2,@,"page":{"p":1}}"#,
                    r#"M {@,"page":{"p":1},"ts":1}"#,
                ],
            ),
        ] {
            check(value, DEFAULT, expected);
        }
    }

    #[test]
    fn members_are_cut_wherever_they_stand() {
        for (value, main) in [
            (r#"{"displays":[],@,"page":{},"ts":1}"#, r#"M {@,"page":{},"ts":1}"#),
            (r#"{@,"displays":[],"page":{},"ts":1}"#, r#"M {@,"page":{},"ts":1}"#),
            (r#"{@,"page":{},"ts":1,"displays":[]}"#, r#"M {@,"page":{},"ts":1}"#),
            (
                r#"{"displays":[],"actions":[],@,"displays":[],"page":{},"ts":1,"actions":[],"displays":[]}"#,
                r#"M {@,"page":{},"ts":1}"#,
            ),
            (
                r#"{ "displays" : [ ] , @ , "page":{} , "act\u0069ons" : [ ]  , "ts": 1.0, "ts" : 1 , "displays":[]	}"#,
                r#"M { @ , "page":{} , "ts": 1.0, "ts" : 1	}"#,
            ),
            (r#"{@,"page":{},"ts":1,"displays":7}"#, r#"M {@,"page":{},"ts":1}"#),
        ] {
            check(value, DEFAULT, &[main]);
        }
    }

    #[test]
    fn what_is_bad_is_dropped_from_the_error_record_too() {
        let page = r#"M {@,"err":7,"page":{},"ts":1}"#.replace(r#""err":7,"#, "");
        for (value, error) in [
            (r#"{@,"err":7,"page":{},"ts":1,"displays":7}"#, r#"E {@,"err":7,"page":{},"ts":1}"#),
            (
                r#"{"displays":[1],@,"err":7,"page":{},"ts":1}"#,
                r#"E {"displays":[],@,"err":7,"page":{},"ts":1}"#,
            ),
            (
                r#"{"actions":null,"displays":[1,2],"actions":7,@,"err":7,"page":{},"ts":1}"#,
                r#"E {"displays":[],@,"err":7,"page":{},"ts":1}"#,
            ),
        ] {
            check(value, DEFAULT, &[error, page.as_str()]);
        }
        for (list, kept) in [
            ("[1,{},{}]", "[{},{}]"),
            ("[{},1,{}]", "[{},{}]"),
            ("[{},{},1]", "[{},{}]"),
            ("[1,2,{},3,4,{},5,6]", "[{},{}]"),
            ("[ 1 , {} , 2 ,\t{} , 3 , 4 ]", "[ {} , {} ]"),
        ] {
            let value = format!(r#"{{@,"err":7,"page":{{}},"ts":1,"actions":{list}}}"#);
            let error = format!(r#"E {{@,"err":7,"page":{{}},"ts":1,"actions":{kept}}}"#);
            let action = r#"A {@,"page":{}}"#;
            check(&value, DEFAULT, &[error.as_str(), action, action, page.as_str()]);
        }
        // Another displays before the bad one must not come to light, but before a good one it may
        // stay: the good one is the last and wins.
        check(
            r#"{"displays":[{}],@,"err":7,"page":{},"ts":1,"displays":7}"#,
            DEFAULT,
            &[r#"E {@,"err":7,"page":{},"ts":1}"#, page.as_str()],
        );
        check(
            r#"{"displays":7,@,"err":7,"page":{},"ts":1,"displays":[1]}"#,
            DEFAULT,
            &[r#"E {"displays":7,@,"err":7,"page":{},"ts":1,"displays":[]}"#, page.as_str()],
        );
    }

    #[test]
    fn the_patch_is_in_every_output() {
        for token in [r#""1""#, r#""\u0031""#] {
            let value = format!(
                r#"{{"common":{{"is_new": "1" ,"mid":1,"is_new": {token} }},"page":{{}},"ts":1,"err":{{}},
                    "displays":[{{"is_new":"1"}}],"actions":[{{}}]}}"#
            );
            for shape in [Shape::Nested, Shape::Wrapped, Shape::Flat] {
                for line in lines(&value, true, SplitOptions { shape, ..DEFAULT }) {
                    let flat_display = shape == Shape::Flat && line.starts_with("D ");
                    let patched = r#""is_new": "1" ,"mid":1,"is_new": "0" "#;
                    // Flat: members are copied one by one, and the element's is_new wins.
                    let patched = match (shape, flat_display) {
                        (Shape::Flat, true) => r#"{"is_new":"1","mid":1,"ts":1}"#,
                        (Shape::Flat, false) if line.starts_with("A ") => {
                            r#"{"is_new": "1","mid":1,"is_new": "0"}"#
                        }
                        _ => patched,
                    };
                    assert!(line.contains(patched), "{line}");
                }
            }
        }
        let plain = r#"{"common":{"mid":1,"is_new":"1"},"start":{},"ts":1}"#;
        assert_eq!(lines(plain, true, DEFAULT), [format!("M {}", plain.replace("\"1\"", "\"0\""))]);
    }

    const ELEMENTS: &str = r#"{@,"page":{"item":"p","common":5},"ts":1.0,"ts":1,"displays":[{"item":"d","ts":2,"page":3,"x":4}],"actions":[{"c\u006fmmon":3,"ts":2,"item":"a"}]}"#;

    #[test]
    fn shapes_and_the_ts_of_an_action() {
        let page = r#""page":{"item":"p","common":5}"#;
        let both = r#""mid":"m","is_new":"1""#;
        let main = "M {@,#,\"ts\":1.0,\"ts\":1}";
        for (options, display, action) in [
            (DEFAULT, r#"{"item":"d","x":4,@,#,"ts":1}"#, r#"{"ts":2,"item":"a",@,#}"#),
            (
                SplitOptions { action_ts: ActionTs::Page, ..DEFAULT },
                r#"{"item":"d","x":4,@,#,"ts":1}"#,
                r#"{"item":"a",@,#,"ts":1}"#,
            ),
            (
                SplitOptions { action_ts: ActionTs::None, ..DEFAULT },
                r#"{"item":"d","x":4,@,#,"ts":1}"#,
                r#"{"item":"a",@,#}"#,
            ),
            (
                WRAPPED,
                r#"{"display":{"item":"d","ts":2,"page":3,"x":4},@,#,"ts":1}"#,
                r#"{"action":{"c\u006fmmon":3,"ts":2,"item":"a"},@,#,"ts":1}"#,
            ),
            (
                FLAT,
                r#"{"item":"d","page":3,"x":4,&,"common":5,"ts":1}"#,
                r#"{"c\u006fmmon":3,"ts":2,"item":"a",&}"#,
            ),
            (
                SplitOptions { flat_clash: FlatClash::Page, action_ts: ActionTs::Page, ..FLAT },
                r#"{"page":3,"x":4,&,"item":"p","common":5,"ts":1}"#,
                r#"{&,"item":"p","common":5,"ts":1}"#,
            ),
            (
                SplitOptions { action_ts: ActionTs::None, ..FLAT },
                r#"{"item":"d","page":3,"x":4,&,"common":5,"ts":1}"#,
                r#"{"c\u006fmmon":3,"item":"a",&}"#,
            ),
        ] {
            let line = |mark: &str, pattern: &str| {
                format!("{mark}{}", pattern.replace('#', page).replace('&', both))
            };
            let expected = [line("D ", display), line("A ", action), line("", main)];
            check(ELEMENTS, options, &expected.each_ref().map(String::as_str));
        }
    }

    #[test]
    fn the_error_record_takes_the_form_asked_for() {
        use ErrForm::{SubObject, SubObjectTs, Whole};
        for (err, form, expected) in [
            (r#"{"error_code":2307,"msg":"a\n\tb"}"#, Whole, r#"{@,"err":#,"ts":1}"#),
            (r#"{"error_code":2307,"msg":"a\n\tb"}"#, SubObject, "#"),
            (
                r#"{"error_code":2307,"msg":"a\n\tb"}"#,
                SubObjectTs,
                r#"{"error_code":2307,"msg":"a\n\tb","ts":1}"#,
            ),
            (r#"{ "ts":5, "c":1 }"#, SubObjectTs, r#"{"c":1,"ts":1}"#),
            ("{ }", SubObjectTs, r#"{"ts":1}"#),
            (r#""text""#, SubObject, r#"{"err":"text"}"#),
            ("[1]", SubObjectTs, r#"{"err":[1],"ts":1}"#),
        ] {
            let value = format!(r#"{{@,"err":{err},"ts":1}}"#);
            let expected = format!("E {}", expected.replace('#', err));
            check(&value, SplitOptions { err: form, ..DEFAULT }, &[expected.as_str()]);
        }
    }
}
