//! What a tenant is, with all layers of config applied.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::limit::Limits;
use crate::schedule::Zone;

/// A tenant with the attributes that selectors and templates see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The plan it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The features it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// Its IANA time zone, if it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Zone>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its share of what executors can do, beside others that wait; 1 to [`Tenant::MAX_WEIGHT`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// What all its runs together may use.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Where its own data is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<TenantDatabase>,
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

impl Tenant {
    /// The largest weight.
    pub const MAX_WEIGHT: u32 = 1_000;

    /// The weight when config names none.
    pub const DEFAULT_WEIGHT: u32 = 1;

    /// A tenant of which nothing but its id is known.
    #[must_use]
    pub fn new(id: TenantId) -> Self {
        Self {
            id,
            plan: None,
            features: BTreeSet::new(),
            timezone: None,
            labels: BTreeMap::new(),
            weight: 1,
            limits: Limits::default(),
            database: None,
        }
    }
}

/// Where a tenant's own data is: a database, and perhaps a schema in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantDatabase {
    /// A URL without a password, or where to find one: `env:NAME` or `file:PATH`, looked up by the executor.
    pub url: String,
    /// Where to find the password, if the URL needs one: `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The schema that its statements see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}
