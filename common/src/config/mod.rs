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
//! | `tenants`, `selector` | who there is, and to whom a job applies |
//! | `jobs`, `handler`, `url`, `templates` | what a job is |
//! | `timing`, `zones` | when it is due, and on whose clocks |
//! | `blackouts` | when it does not run |
//! | `policies`, `recovery` | what becomes of due times that cannot simply run, and how fast missed ones are made up for |
//! | `report`, `diagnostic`, `source` | collecting, ordering and showing mistakes |
//!
//! Invariants: no text panics; a check costs time in proportion to the length of the text, and to the tenants times
//! the jobs with their templates; what a check accepts compiles and renders for every tenant that it names; the same
//! text and environment give the same answer.
//!
//! On failure: broken YAML ends the check with one error. Everything else is collected, so that one check shows all
//! mistakes; a part that is wrong is left out of the checks that need it, so that one mistake is one message.

mod blackouts;
mod diagnostic;
mod env;
mod fields;
mod handler;
mod jobs;
mod node;
mod policies;
mod recovery;
mod report;
mod selector;
mod source;
mod syntax;
mod templates;
mod tenants;
mod text;
mod timing;
mod url;
mod yaml;
mod zones;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::diagnostic::{Diagnostic, Severity, Snippet};
use self::fields::Fields;
use self::node::{Entry, Node, Value};
pub use self::report::MAX_SHOWN;
use self::report::Report;
use self::source::Source;
pub use self::text::ConfigText;
use crate::catalog::{Desired, DesiredJob, Recovery};
use crate::definition::{Definition, Tenant};
use crate::id::{JobName, NameError, check_name};

/// The one version of the schema.
const VERSION: i128 = 1;
/// The keys of a file.
const KEYS: &[&str] = &["version", "tenants", "blackouts", "jobs", "recovery", "dev"];
/// A longer file is refused.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A config that can be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Companions that `leasehold dev` starts; nobody else looks at them.
    pub services: Vec<Service>,
    tenants: Vec<Tenant>,
    jobs: Vec<Job>,
    recovery: Recovery,
}

/// A program that runs beside `leasehold dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, unique in the file.
    pub name: String,
    /// The program and its arguments, taken as they stand.
    pub argv: Vec<String>,
}

/// A job with the tenants that it applies to.
#[derive(Clone, Debug)]
struct Job {
    name: JobName,
    /// One for each zone.
    definitions: Vec<Arc<Definition>>,
    /// Positions of a tenant and of its definition.
    tenants: Vec<(usize, usize)>,
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
    let config = yaml::read(&mut report, env).and_then(|root| config(&mut report, &root));
    let config = config.filter(|_| report.errors() == 0);
    let (diagnostics, omitted) = report.finish();
    Checked { config, diagnostics, omitted }
}

fn config(report: &mut Report<'_>, root: &Node<'_>) -> Option<Config> {
    if let Value::Null = root.value {
        let help = "start with `version: 1`, then `tenants:` and `jobs:`".to_owned();
        report.error(&(0..0), "the config is empty", Some(help));
        return None;
    }
    let fields = Fields::read(report, root, "the config", KEYS)?;
    version(report, &fields);
    let roster = tenants::read(report, fields.get("tenants"));
    let mut blackouts = blackouts::read(report, &fields);
    let jobs = jobs::read(report, fields.get("jobs"), &roster, &mut blackouts);
    let recovery = recovery::read(report, fields.get("recovery"));
    let services = fields.get("dev").map(|entry| services(report, &entry.value)).unwrap_or_default();
    let nothing = [("tenants", roster.tenants.is_empty() && roster.complete), ("jobs", jobs.is_empty())];
    for (key, empty) in nothing {
        let written = fields.get(key);
        let is_list = written.is_none_or(|entry| matches!(&entry.value.value, Value::List(items) if items.is_empty()));
        if empty && is_list {
            let span = written.map_or_else(|| fields.anchor(), |entry| entry.key_span.clone());
            report.warn(&span, format!("there are no {key}, so nothing will run"), None);
        }
    }
    if report.errors() == 0 {
        // A mistake elsewhere may be why nothing names one.
        blackouts.warn_of_unused(report);
    }
    Some(Config { services, tenants: roster.tenants, jobs, recovery: recovery? })
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
    let argv = fields.require(report, "argv").and_then(|entry| handler::argv(report, entry));
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

    /// How many jobs there are and to how many tenants each applies, in the order of the file.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = (&JobName, usize)> {
        self.jobs.iter().map(|job| (&job.name, job.tenants.len()))
    }

    /// The catalog that the config describes: every job of every tenant. Tenants for which a job is the same share
    /// its definition.
    #[must_use]
    pub fn desired(&self) -> Desired {
        let count = self.jobs.iter().map(|job| job.tenants.len()).sum();
        let mut jobs = Vec::with_capacity(count);
        for job in &self.jobs {
            jobs.extend(job.tenants.iter().map(|&(tenant, definition)| DesiredJob {
                tenant: self.tenants[tenant].id.clone(),
                name: job.name.clone(),
                definition: Arc::clone(&job.definitions[definition]),
            }));
        }
        let tenants = self.tenants.iter().cloned().map(Into::into).collect();
        Desired { tenants, jobs, recovery: self.recovery }
    }
}
