//! Two changes of one row made into one, as if the older had been written before the newer.

use connectors::format::dimension::{ChangeView, DimensionOp, push_change};

/// Appends `older` followed by `newer`; both are of the same row. What is of an earlier edition of the
/// table is gone.
pub(super) fn compose(older: ChangeView<'_>, newer: ChangeView<'_>, out: &mut Vec<u8>) {
    if older.edition != newer.edition {
        let left = if older.edition < newer.edition { newer } else { older };
        return push_change(out, left.target(), left.op, left.cells());
    }
    let op = match (older.op, newer.op) {
        (_, DimensionOp::Delete | DimensionOp::Replace) | (DimensionOp::Delete, _) => {
            let op = if newer.op == DimensionOp::Delete { newer.op } else { DimensionOp::Replace };
            return push_change(out, newer.target(), op, newer.cells());
        }
        (older, DimensionOp::Upsert) => older,
    };
    let mut cells: Vec<_> = older.cells().collect();
    for (column, text) in newer.cells() {
        match cells.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(column)) {
            Some(cell) => cell.1 = text,
            None => cells.push((column, text)),
        }
    }
    push_change(out, newer.target(), op, cells);
}

/// Both changes as bytes.
pub(super) fn compose_bytes(older: &[u8], newer: &[u8]) -> Vec<u8> {
    let read = |bytes| ChangeView::read(bytes).expect("changes of this job are written by it");
    let mut out = Vec::with_capacity(older.len() + newer.len());
    compose(read(older), read(newer), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Cells = Vec<(&'static str, Option<&'static [u8]>)>;
    type Row = Option<BTreeMap<String, Vec<u8>>>;

    fn change(op: DimensionOp, cells: &Cells) -> Vec<u8> {
        let mut out = Vec::new();
        push_change(&mut out, "t", op, cells.iter().copied());
        out
    }

    /// What a store does, in few words.
    fn apply(row: Row, change: &[u8]) -> Row {
        let change = ChangeView::read(change).expect("written above");
        let mut row = match change.op {
            DimensionOp::Upsert => row.unwrap_or_default(),
            DimensionOp::Replace => BTreeMap::new(),
            DimensionOp::Delete => return None,
        };
        for (column, text) in change.cells() {
            match text {
                Some(text) => drop(row.insert(column.to_owned(), text.to_vec())),
                None => drop(row.remove(column)),
            }
        }
        Some(row)
    }

    fn any_change() -> impl Strategy<Value = Vec<u8>> {
        let op = prop_oneof![
            Just(DimensionOp::Upsert),
            Just(DimensionOp::Replace),
            Just(DimensionOp::Delete)
        ];
        let text = prop_oneof![Just(None), Just(Some(&b"1"[..])), Just(Some(&b"2"[..]))];
        let cell = (prop_oneof![Just("a"), Just("b"), Just("c")], text);
        (op, prop::collection::vec(cell, 0..3)).prop_map(|(op, cells)| {
            let mut unique: Cells = Vec::new();
            for cell in cells {
                if unique.iter().all(|(name, _)| *name != cell.0) {
                    unique.push(cell);
                }
            }
            change(op, &unique)
        })
    }

    proptest! {
        #[test]
        fn one_change_does_what_the_two_did(
            before in any_change(), older in any_change(), newer in any_change(), last in any_change(),
        ) {
            let row = apply(None, &before);
            let two = apply(apply(row.clone(), &older), &newer);
            prop_assert_eq!(&apply(row.clone(), &compose_bytes(&older, &newer)), &two);
            // In any grouping.
            let left = compose_bytes(&compose_bytes(&older, &newer), &last);
            let right = compose_bytes(&older, &compose_bytes(&newer, &last));
            prop_assert_eq!(apply(row.clone(), &left), apply(row, &right));
        }
    }
}
