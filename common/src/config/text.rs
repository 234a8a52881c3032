//! A config as it is kept: its text, and what it took from the environment.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Checked, check};

/// A config as it is kept in a store, so that a leader reads from it just what was applied, whatever its own environment
/// says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    /// What the file is called, for messages.
    pub name: String,
    /// The YAML.
    pub text: String,
    /// The environment variables that the text names and that were set.
    pub env: BTreeMap<String, String>,
}

impl ConfigText {
    /// Takes what a text asks for out of an environment.
    #[must_use]
    pub fn capture(name: &str, text: String, env: &dyn Fn(&str) -> Option<String>) -> (Self, Checked) {
        let used = RefCell::new(BTreeMap::new());
        let checked = check(name, &text, &|variable| {
            let value = env(variable)?;
            used.borrow_mut().insert(variable.to_owned(), value.clone());
            Some(value)
        });
        (Self { name: name.to_owned(), text, env: used.into_inner() }, checked)
    }

    /// A hash of what it says, whatever the file is called.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.text].into_iter().chain(self.env.iter().flat_map(|(name, value)| [name, value])) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Checks it once more.
    #[must_use]
    pub fn check(&self) -> Checked {
        check(&self.name, &self.text, &|name| self.env.get(name).cloned())
    }
}
