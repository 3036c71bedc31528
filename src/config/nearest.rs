//! The nearest valid word to one that is not valid, for messages.
//!
//! A wrong guess is worse than none: a word is offered only if few letters differ.

/// The word of `words` that `given` most likely meant, if any is near enough: a third of its
/// letters may differ, but at least two. A word whose last part (behind a dot) is `given` is near.
pub(crate) fn nearest<'a>(
    given: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).max(2);
    let distances = words.into_iter().map(|word| (distance_to(given, word), word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= limit).then_some(word)
}

/// `; did you mean "…"?`, or nothing.
pub(crate) fn hint<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, words).map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"))
}

fn distance_to(given: &str, word: &str) -> usize {
    let tail = word.rsplit_once('.').is_some_and(|(_, tail)| tail == given);
    if tail { 1 } else { distance(given, word) }
}

/// Insertions, deletions, replacements and swaps of neighbours that make `from` into `to`; letter
/// case does not count.
fn distance(from: &str, to: &str) -> usize {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (from, to) = (letters(from), letters(to));
    // Rows of the usual table: the one before the last, the last.
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                let before: &Vec<usize> = &before;
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases =
            [("", "", 0), ("a", "", 1), ("abc", "acb", 1), ("kitten", "sitting", 3), ("Ä", "ä", 0)];
        for (from, to, expected) in cases {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn only_near_words_are_offered() {
        let words = ["workers", "generation", "time_zone", "log_split.shape"];
        let cases = [
            ("worker", Some("workers")),
            ("generatoin", Some("generation")),
            ("timezone", Some("time_zone")),
            ("shape", Some("log_split.shape")),
            ("log_split.shpe", Some("log_split.shape")),
            ("colour", None),
        ];
        for (given, expected) in cases {
            assert_eq!(nearest(given, words), expected, "{given}");
        }
        assert_eq!(hint("worker", words), "; did you mean \"workers\"?");
        assert_eq!(hint("colour", words), "");
    }
}
