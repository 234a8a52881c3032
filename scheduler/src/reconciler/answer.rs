//! What a source said: rows by the id of their tenants, each as JSON text.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use leasehold_common::roster::Refusal;
use leasehold_common::store::REFUSALS_KEPT;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What is read of a row. The rest of it may change at every moment and says nothing.
const KEYS: [&str; 10] =
    ["id", "plan", "features", "timezone", "labels", "weight", "concurrency", "rate", "database", "jobs"];

/// How much of an id is shown that is none.
const SHOWN: usize = 80;

/// Refused tenants: all are counted, the first ones are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) count: u64,
    pub(super) first: Vec<Refusal>,
}

impl Refused {
    pub(super) fn add(&mut self, refusal: Refusal) {
        self.count += 1;
        if self.first.len() < REFUSALS_KEPT {
            self.first.push(refusal);
        }
    }
}

/// The answer of a source. Its rows are in the order of the ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: BTreeMap<String, Box<str>>,
    /// Rows that name no tenant, or one that was named before.
    pub(super) refused: Refused,
}

impl Answer {
    /// Adds a row.
    pub(super) fn take(&mut self, source: &str, row: Value) {
        let Value::Object(mut row) = row else { return self.refuse(source, &row, "it is no map with an id in it") };
        let id = match row.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) if !id.is_f64() => id.to_string(),
            Some(other) => {
                let other = other.clone();
                return self.refuse(source, &other, "its id is no text");
            }
            None => return self.refuse(source, &Value::Object(row), "it has no id"),
        };
        row.retain(|key, value| KEYS.contains(&key.as_str()) && !value.is_null());
        row.insert("id".to_owned(), Value::String(id.clone()));
        match self.rows.entry(id) {
            Entry::Vacant(free) => {
                free.insert(Value::Object(row).to_string().into_boxed_str());
            }
            Entry::Occupied(taken) => {
                let id = Value::String(taken.key().clone());
                self.refuse(source, &id, "the source names it twice; the first row counts");
            }
        }
    }

    fn refuse(&mut self, source: &str, what: &Value, reason: &str) {
        let what = what.as_str().map_or_else(|| what.to_string(), str::to_owned);
        let tenant = what.chars().take(SHOWN).collect();
        self.refused.add(Refusal { source: source.to_owned(), tenant, reason: reason.to_owned() });
    }

    /// Tells two answers apart.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.refused.count.to_be_bytes());
        for (id, row) in &self.rows {
            for part in [id.as_str(), row] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        for refusal in &self.refused.first {
            hash.update(&refusal.tenant);
            hash.update([0]);
        }
        hash.finalize().into()
    }
}

/// A row as it was kept.
pub(super) fn row(text: &str) -> Map<String, Value> {
    // What is kept was written by us.
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(rows: &[Value]) -> Answer {
        let mut answer = Answer::default();
        rows.iter().for_each(|row| answer.take("crm", row.clone()));
        answer
    }

    #[test]
    fn rows_are_kept_by_id_without_what_says_nothing() {
        let rows = [json!({"id": "b", "plan": null, "seen": 5}), json!({"plan": "pro", "id": 7})];
        let kept: Vec<_> =
            answer(&rows).rows.into_iter().map(|(id, row)| (id, serde_json::from_str::<Value>(&row).ok())).collect();
        let expected = [("7", json!({"id": "7", "plan": "pro"})), ("b", json!({"id": "b"}))];
        assert_eq!(kept, expected.map(|(id, row)| (id.to_owned(), Some(row))));
    }

    #[test]
    fn rows_without_an_id_and_second_rows_are_refused_alone() {
        let rows = [
            json!({"id": "a"}),
            json!("b"),
            json!({"name": "c"}),
            json!({"id": ["d"]}),
            json!({"id": 1.5}),
            json!({"id": "a", "plan": "x"}),
        ];
        let answer = answer(&rows);
        assert_eq!(answer.rows.len(), 1);
        assert_eq!(answer.rows["a"].as_ref(), r#"{"id":"a"}"#);
        let refused: Vec<_> = answer.refused.first.iter().map(|refusal| refusal.tenant.as_str()).collect();
        assert_eq!((answer.refused.count, refused), (5, vec!["b", r#"{"name":"c"}"#, r#"["d"]"#, "1.5", "a"]));
    }

    #[test]
    fn the_order_of_rows_says_nothing_and_everything_else_does() {
        let (a, b) = (json!({"id": "a"}), json!({"id": "b"}));
        let hash = |rows: &[&Value]| answer(&rows.iter().map(|row| (*row).clone()).collect::<Vec<_>>()).hash();
        assert_eq!(hash(&[&a, &b]), hash(&[&b, &a]));
        let others = [hash(&[&a]), hash(&[&a, &b, &b]), hash(&[&a, &json!({"id": "b", "plan": "x"})]), hash(&[])];
        assert!(others.iter().all(|other| *other != hash(&[&a, &b])));
    }

    #[test]
    fn all_refusals_are_counted_and_the_first_are_kept() {
        let refused = answer(&vec![json!(null); 250]).refused;
        assert_eq!((refused.count, refused.first.len()), (250, REFUSALS_KEPT));
    }
}
