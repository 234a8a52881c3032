//! `command`: a program, its arguments and what surrounds it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fields::{self, Fields, Text};
use super::handler::with_template;
use super::node::{Entry, Node, Plain, Value};
use super::report::Report;
use super::templates::Used;
use crate::command::{CommandSpec, ExitCodes, Resources, TRY_AGAIN, VariableError, check_variable};
use crate::size;

const KEYS: &[&str] = &["argv", "env", "cwd", "resources", "permanent_exit_codes"];
const RESOURCES: &[&str] = &["cpu", "memory", "files", "processes", "file_size"];

/// With less, a program cannot even be loaded.
const MEMORY_MIN: u64 = 16 << 20;
const FILES: std::ops::RangeInclusive<i128> = 8..=1_048_576;
const PROCESSES: std::ops::RangeInclusive<i128> = 1..=4_194_304;

/// Reads the map; its templates are added to `used`.
pub(super) fn read<'n, 't>(
    report: &mut Report<'_>,
    node: &'n Node<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<CommandSpec> {
    let fields = Fields::read(report, node, "command", KEYS)?;
    let argv = fields.require(report, "argv").and_then(|entry| {
        let argv: Vec<_> = argv(report, entry)?.into_iter().map(|text| with_template(report, text, used)).collect();
        argv.into_iter().collect::<Option<Vec<_>>>()
    });
    let env = fields.get("env").map_or(Some(BTreeMap::new()), |entry| env(report, entry, used));
    let cwd = fields.get("cwd").map(|entry| cwd(report, entry, used));
    let resources = fields.get("resources").map_or(Some(Resources::default()), |entry| resources(report, entry));
    let codes = fields.get("permanent_exit_codes").map_or(Some(Vec::new()), |entry| exit_codes(report, entry));
    Some(CommandSpec {
        argv: argv?,
        env: env?,
        cwd: cwd.map_or(Some(None), |cwd| cwd.map(Some))?,
        resources: resources?,
        permanent_exit_codes: codes?,
    })
}

/// The elements of an `argv`: at least one, and what an operating system takes as arguments.
pub(super) fn argv<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>) -> Option<Vec<Text<'n, 't>>> {
    let items = fields::list(report, &entry.value, "argv")?;
    if items.is_empty() {
        let help = "write the program and its arguments, as in `argv: [\"./report.sh\", \"--all\"]`".to_owned();
        report.error(&entry.value.span, "`argv` must not be empty", Some(help));
        return None;
    }
    let texts: Vec<_> = items.iter().map(|item| without_nul(report, item, "an entry of `argv`")).collect();
    let texts = texts.into_iter().collect::<Option<Vec<_>>>()?;
    if let Some(program) = texts.first().filter(|program| program.text.trim().is_empty()) {
        report.error(&program.span(), "the first entry of `argv` names the program and must not be empty", None);
        return None;
    }
    Some(texts)
}

/// Text that an operating system can pass on.
fn without_nul<'n, 't>(report: &mut Report<'_>, node: &'n Node<'t>, what: &str) -> Option<Text<'n, 't>> {
    let text = fields::text(report, node, what)?;
    if text.text.contains('\0') {
        report.error(&text.span(), format!("{what} must not contain a NUL character"), None);
        return None;
    }
    Some(text)
}

fn env<'n, 't>(
    report: &mut Report<'_>,
    entry: &'n Entry<'t>,
    used: &mut Vec<Used<'n, 't>>,
) -> Option<BTreeMap<String, String>> {
    let entries = fields::map(report, &entry.value, "env")?;
    let mut env = BTreeMap::new();
    let mut complete = true;
    for variable in entries {
        let name = variable_name(report, variable);
        let value = without_nul(report, &variable.value, &format!("the variable `{}`", variable.key))
            .and_then(|text| with_template(report, text, used));
        match (name, value) {
            (Some(name), Some(value)) => drop(env.insert(name, value)),
            _ => complete = false,
        }
    }
    complete.then_some(env)
}

fn variable_name(report: &mut Report<'_>, variable: &Entry<'_>) -> Option<String> {
    let name = variable.key.as_ref();
    let (message, help) = match check_variable(name) {
        Ok(()) => return Some(name.to_owned()),
        Err(error @ VariableError::Reserved(_)) => (error.to_string(), "choose another name".to_owned()),
        Err(error) => (error.to_string(), "names consist of letters, digits and `_`, as in `REPORT_DIR`".to_owned()),
    };
    report.error(&variable.key_span, message, Some(help));
    None
}

fn cwd<'n, 't>(report: &mut Report<'_>, entry: &'n Entry<'t>, used: &mut Vec<Used<'n, 't>>) -> Option<String> {
    let text = without_nul(report, &entry.value, "cwd")?;
    if text.text.trim().is_empty() {
        let help = "write a folder below the executor's `--workdir`, as in `cwd: reports`".to_owned();
        report.error(&text.span(), "`cwd` must not be empty", Some(help));
        return None;
    }
    with_template(report, text, used)
}

fn resources(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Resources> {
    let fields = Fields::read(report, &entry.value, "resources", RESOURCES)?;
    let cpu = read_one(report, &fields, "cpu", |report, entry| {
        let time = fields::duration(report, entry, Duration::from_secs(1))?;
        // The kernel counts in seconds.
        Some(time.as_secs() + u64::from(time.subsec_nanos() > 0))
    });
    let memory = read_one(report, &fields, "memory", |report, entry| bytes(report, entry, MEMORY_MIN));
    let files = read_one(report, &fields, "files", |report, entry| whole(report, entry, FILES));
    let processes = read_one(report, &fields, "processes", |report, entry| whole(report, entry, PROCESSES));
    let file_size = read_one(report, &fields, "file_size", |report, entry| bytes(report, entry, 1));
    Some(Resources { cpu: cpu?, memory: memory?, files: files?, processes: processes?, file_size: file_size? })
}

/// The value of a key, `Some(None)` if it is not there, `None` if it is wrong.
fn read_one(
    report: &mut Report<'_>,
    fields: &Fields<'_, '_>,
    key: &str,
    read: impl Fn(&mut Report<'_>, &Entry<'_>) -> Option<u64>,
) -> Option<Option<u64>> {
    fields.get(key).map_or(Some(None), |entry| read(report, entry).map(Some))
}

fn whole(report: &mut Report<'_>, entry: &Entry<'_>, limits: std::ops::RangeInclusive<i128>) -> Option<u64> {
    u64::try_from(fields::integer(report, entry, limits)?).ok()
}

/// A size of at least `least` bytes.
fn bytes(report: &mut Report<'_>, entry: &Entry<'_>, least: u64) -> Option<u64> {
    let (key, node) = (&entry.key, &entry.value);
    let Value::Scalar(scalar) = &node.value else {
        fields::wrong_type(report, node, key, "a size");
        return None;
    };
    if let Plain::Int(number) = scalar.resolve_number() {
        let help =
            if number > 0 { format!("write `{number}MiB` or `{number}GiB`") } else { "as in `512MiB`".to_owned() };
        report.error(&node.span, format!("`{key}` is a size and needs a unit"), Some(help));
        return None;
    }
    let (message, help) = match size::parse(&scalar.text) {
        Ok(bytes) if bytes >= least => return Some(bytes),
        Ok(_) => (format!("`{key}` must be at least {}", size::format(least)), fields::example(key)),
        Err(error) => {
            let text = error.to_string();
            let (what, help) = text.split_once("; ").unwrap_or((&text, ""));
            (format!("`{key}`: {what}"), Some(help.to_owned()))
        }
    };
    report.error(&node.span, message, help);
    None
}

fn exit_codes(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<Vec<ExitCodes>> {
    let items = fields::list(report, &entry.value, "permanent_exit_codes")?;
    let codes: Vec<_> = items.iter().map(|item| codes(report, item)).collect();
    codes.into_iter().collect()
}

fn codes(report: &mut Report<'_>, node: &Node<'_>) -> Option<ExitCodes> {
    let Value::Scalar(scalar) = &node.value else {
        fields::wrong_type(report, node, "an entry of `permanent_exit_codes`", "a number or a range");
        return None;
    };
    let text = scalar.text.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (message, help) = match (first.trim().parse::<u8>(), last.trim().parse::<u8>()) {
        (Ok(TRY_AGAIN), Ok(TRY_AGAIN)) => {
            ("exit status 75 asks for another attempt".to_owned(), "let the program end with another one")
        }
        (Ok(first @ 1..), Ok(last)) if first <= last => return Some(ExitCodes { first, last }),
        _ => (format!("`{text}` is no exit status of a failure"), "write numbers from 1 to 255, as in `[2, 64-78]`"),
    };
    report.error(&node.span, message, Some(help.to_owned()));
    None
}
