//! "Did you mean": the closest of some known words.

/// The candidate that `word` most likely stands for, if one is close enough: within a third of its length in edits
/// (letter case is none).
///
/// A wild text is no misspelling, and the distance costs its length: words over 64 bytes have no suggestion.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX {
        return None;
    }
    let wanted = fold(word);
    let allowed = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX && *candidate != word)
        .map(|candidate| (distance(&wanted, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The same for keys, which people bend: else the one that shares the longest start with the word, of four letters at
/// least, as `retry` does with `retries`.
pub(crate) fn closest_key(word: &str, keys: &[&'static str]) -> Option<&'static str> {
    if let Some(close) = closest(word, keys.iter().copied()) {
        return keys.iter().copied().find(|key| *key == close);
    }
    let wanted = fold(word.get(..MAX).unwrap_or(word));
    let shared = |key: &str| wanted.iter().zip(fold(key)).take_while(|(a, b)| **a == *b).count();
    let most = keys.iter().map(|key| shared(key)).max().filter(|most| *most >= SHARED)?;
    let mut best = keys.iter().copied().filter(|key| shared(key) == most);
    best.next().filter(|_| best.next().is_none()) // of two there is no telling which
}

const MAX: usize = 64;
/// The shortest start that two words share by more than chance.
const SHARED: usize = 4;

/// Letters that people mix up are made equal.
fn fold(word: &str) -> Vec<char> {
    word.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits from one word to the other (insert, remove, replace, swap neighbours): the optimal string alignment
/// distance, three rows at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, to) in b.iter().enumerate() {
            let replace = last[j] + usize::from(from != to);
            row[j + 1] = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, closest_key};

    #[test]
    fn finds_the_slips_that_people_make() {
        let known = ["name", "tenants", "timeout", "timezone", "retry", "every"];
        for (word, meant) in [
            ("nmae", Some("name")),
            ("Timezone", Some("timezone")),
            ("time-zone", Some("timezone")),
            ("timout", Some("timeout")),
            ("tenant", Some("tenants")),
            ("evry", Some("every")),
            ("x", None),
            ("", None),
            ("schedule", None),
            ("ten", None),
        ] {
            assert_eq!(closest(word, known), meant, "{word}");
        }
        assert_eq!(closest(&"n".repeat(100_000), known), None);
        for (word, meant) in [
            ("nmae", Some("name")),
            ("retries", Some("retry")),
            ("timeout_seconds", Some("timeout")),
            ("time", None),
            ("nam", Some("name")),
            ("times", None),
            ("ret", None),
            ("schedule", None),
        ] {
            assert_eq!(closest_key(word, &known), meant, "{word}");
        }
        assert_eq!(closest_key(&"é".repeat(100_000), &known), None);
    }
}
