//! The config file: from YAML text to a [`Desired`] catalog, with every mistake on the way.
//!
//! Owns the schema of the file (docs/reference/config.md is its manual), the defaults, the rules of selectors, and
//! the words for everything that can be wrong. Must not know stores or what is running: it sees one text, the
//! environment, and nothing else.
//!
//! | module | owns |
//! |---|---|
//! | `yaml`, `node`, `syntax` | text to a tree of values with their places; broken YAML |
//! | `env` | `${NAME:-default}` in values |
//! | `fields` | typed values out of the tree |
//! | `tenants`, `selector`, `rows` | who there is, in the file or in a row of a live source, and to whom a job applies |
//! | `roster` | the live sources |
//! | `plans`, `database`, `limits` | what tenants of a plan have in common, where their data is, what they may use |
//! | `jobs`, `overrides`, `merge`, `layers` | jobs, the layers on top of them, and how they are merged |
//! | `draft`, `handler`, `url`, `templates`, `retry` | what a job is once its layers are merged |
//! | `timing`, `zones` | when it is due, and on whose clocks |
//! | `blackouts` | when it does not run |
//! | `policies`, `recovery` | what becomes of due times that cannot simply run, and how fast missed ones are made up for |
//! | `hooks` | who is told what becomes of runs |
//! | `report`, `diagnostic`, `source`, `examples` | collecting, ordering and showing mistakes |
//! | `resolve`, `settings` | what a checked config says of some tenants at some time, and why |
//!
//! Invariants: no text panics; a check costs time in proportion to the length of the text, and to the tenants times
//! the jobs with their templates; what a check accepts compiles and renders for every tenant that it names; the same
//! text and environment give the same answer.
//!
//! On failure: broken YAML ends the check with one error. Everything else is collected, so that one check shows all
//! mistakes; a part that is wrong is left out of the checks that need it, so that one mistake is one message.

mod blackouts;
mod command;
mod database;
mod diagnostic;
mod draft;
mod env;
mod examples;
mod fields;
mod handler;
mod hooks;
mod http;
mod jobs;
mod layers;
mod limits;
mod merge;
mod node;
mod overrides;
mod plans;
mod policies;
mod recovery;
mod report;
mod resolve;
mod retry;
mod roster;
mod rows;
mod selector;
mod settings;
mod source;
mod statements;
mod syntax;
mod templates;
mod tenants;
mod text;
mod timing;
mod url;
mod yaml;
mod zones;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::diagnostic::{Diagnostic, Severity, Snippet};
use self::fields::Fields;
use self::layers::Layers;
use self::node::{Entry, Node, Value};
pub use self::report::MAX_SHOWN;
use self::report::Report;
pub use self::resolve::JobsFor;
use self::resolve::Kept;
pub use self::settings::{Layer, Setting};
use self::source::Source;
use self::tenants::Around;
pub use self::text::ConfigText;
use crate::catalog::Recovery;
use crate::definition::Tenant;
use crate::hook::HookSpec;
use crate::id::{JobName, NameError, check_name};
use crate::roster::RosterSpec;

/// The one version of the schema.
const VERSION: i128 = 1;
/// The keys of a file.
const KEYS: &[&str] = &[
    "version",
    "roster",
    "tenants",
    "plans",
    "defaults",
    "blackouts",
    "jobs",
    "overrides",
    "recovery",
    "hooks",
    "dev",
];
/// A longer file is refused.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A config that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Companions that `leasehold dev` starts; nobody else looks at them.
    pub services: Vec<Service>,
    tenants: Vec<Tenant>,
    /// The jobs, and to how many tenants of the file each applies.
    jobs: Vec<(JobName, usize)>,
    recovery: Recovery,
    roster: RosterSpec,
    hooks: Vec<HookSpec>,
    kept: Arc<Kept>,
}

/// A program that runs beside `leasehold dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, unique in the file.
    pub name: String,
    /// The program and its arguments, taken as they stand.
    pub argv: Vec<String>,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The config; there is one if and only if no diagnostic is an error.
    pub config: Option<Config>,
    /// Everything found, in order of position, at most [`MAX_SHOWN`] of each severity.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are.
    pub omitted: usize,
}

impl Checked {
    /// How many errors and warnings are among the diagnostics.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
        (errors, self.diagnostics.len() - errors)
    }
}

/// Why a file could not be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is not there, or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is far larger than any config.
    #[error("{} is larger than {} MiB", path.display(), MAX_FILE_BYTES / 1024 / 1024)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not text.
    #[error("{} is not UTF-8 text (line {line})", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the first byte that is not.
        line: usize,
    },
}

/// Reads and checks a file, with the environment of this program.
///
/// # Errors
/// [`LoadError`] if there is no text to check; mistakes in the text are diagnostics.
pub fn load(path: &Path) -> Result<Checked, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // Read up to the limit and not by the length that is stated: a pipe or a device states none.
    let mut file = std::fs::File::open(path).map_err(read)?.take(MAX_FILE_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        LoadError::NotText { path: path.to_owned(), line: good.iter().filter(|byte| **byte == b'\n').count() + 1 }
    })?;
    Ok(check(&path.display().to_string(), &text, &|name| std::env::var(name).ok()))
}

/// Checks a text. `file_name` is only shown; `env` gives the value of an environment variable.
#[must_use]
pub fn check(file_name: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Checked {
    let source = Source::new(file_name, text);
    let mut report = Report::new(&source);
    let used = RefCell::new(BTreeMap::new());
    let capture = |name: &str| {
        let value = env(name)?;
        used.borrow_mut().insert(name.to_owned(), value.clone());
        Some(value)
    };
    let config = yaml::read(&mut report, &capture).and_then(|root| {
        let text = || ConfigText { name: file_name.to_owned(), text: text.to_owned(), env: used.take() };
        config(&mut report, &root, text)
    });
    let (diagnostics, omitted) = report.finish();
    Checked { config, diagnostics, omitted }
}

fn config(report: &mut Report<'_>, root: &Node<'_>, text: impl FnOnce() -> ConfigText) -> Option<Config> {
    if let Value::Null = root.value {
        let help = "start with `version: 1`, then `tenants:` and `jobs:`".to_owned();
        report.error(&(0..0), "the config is empty", Some(help));
        return None;
    }
    let fields = Fields::read(report, root, "the config", KEYS)?;
    version(report, &fields);
    let sources = roster::read(report, fields.get("roster"));
    let names = jobs::names(fields.get("jobs"));
    let plans = Layers::plans(report, &fields, &names);
    let around = Around { plans: &plans, jobs: &names, others: false };
    let roster = tenants::read(report, fields.get("tenants"), around, fields.get("roster").is_some());
    let mut blackouts = blackouts::read(report, &fields);
    let layers = Layers::read(report, &fields, plans, &names);
    let jobs = layers.check(report, &roster, &mut blackouts);
    let recovery = recovery::read(report, fields.get("recovery"));
    let hooks = hooks::read(report, fields.get("hooks"), &names);
    let services = fields.get("dev").map(|entry| services(report, &entry.value)).unwrap_or_default();
    let nothing = [("tenants", roster.tenants.is_empty() && roster.complete), ("jobs", layers.jobs.is_empty())];
    for (key, empty) in nothing {
        let written = fields.get(key);
        let is_list = written.is_none_or(|entry| matches!(&entry.value.value, Value::List(items) if items.is_empty()));
        if empty && is_list {
            let span = written.map_or_else(|| fields.anchor(), |entry| entry.key_span.clone());
            report.warn(&span, format!("there are no {key}, so nothing will run"), None);
        }
    }
    if report.errors() > 0 {
        return None;
    }
    // A mistake elsewhere may be why nothing names one.
    blackouts.warn_of_unused(report);
    let kept = Arc::new(Kept::new(text(), report.source, root, &roster));
    Some(Config { services, tenants: roster.tenants, jobs, recovery: recovery?, roster: sources?, hooks: hooks?, kept })
}

fn version(report: &mut Report<'_>, fields: &Fields<'_, '_>) {
    let Some(entry) = fields.require(report, "version") else { return };
    let Some(version) = fields::integer(report, entry, 0..=i128::MAX) else { return };
    if version != VERSION {
        let message = format!("version {version} of the config is not known to this release");
        report.error(&entry.value.span, message, Some(format!("write `version: {VERSION}`")));
    }
}

fn services(report: &mut Report<'_>, node: &Node<'_>) -> Vec<Service> {
    let Some(fields) = Fields::read(report, node, "dev", &["services"]) else { return Vec::new() };
    let Some(entry) = fields.get("services") else { return Vec::new() };
    let mut services: Vec<Service> = Vec::new();
    for node in fields::list(report, &entry.value, "services").unwrap_or_default() {
        if let Some(service) = service(report, node, &services) {
            services.push(service);
        }
    }
    services
}

fn service(report: &mut Report<'_>, node: &Node<'_>, others: &[Service]) -> Option<Service> {
    let fields = Fields::read(report, node, "a service", &["name", "argv"])?;
    let name = fields.require(report, "name").and_then(|entry| service_name(report, entry, others));
    let argv = fields.require(report, "argv").and_then(|entry| command::argv(report, entry));
    Some(Service { name: name?, argv: argv?.iter().map(|text| text.text.to_owned()).collect() })
}

fn service_name(report: &mut Report<'_>, entry: &Entry<'_>, others: &[Service]) -> Option<String> {
    let rule = |text: &str| -> Result<String, NameError> { check_name("service name", text).map(|()| text.to_owned()) };
    let name = fields::name(report, &entry.value, "name", rule)?;
    if others.iter().any(|other| other.name == name) {
        let help = "give each service a name of its own".to_owned();
        report.error(&entry.value.span, format!("the service `{name}` is there twice"), Some(help));
        return None;
    }
    Some(name)
}

impl Config {
    /// The tenants, in the order of the file.
    #[must_use]
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// The hooks, in the order of the file.
    #[must_use]
    pub fn hooks(&self) -> &[HookSpec] {
        &self.hooks
    }

    /// The jobs, and to how many tenants of the file each applies when no override is in force, in the order of the file.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = (&JobName, usize)> {
        self.jobs.iter().map(|(name, tenants)| (name, *tenants))
    }
}
