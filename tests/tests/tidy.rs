//! Rules of the repository that a program can check. No servers, no builds: it reads files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// What each crate may depend on within the repository; ARCHITECTURE.md draws the same picture.
const DEPENDENCIES: [(&str, &[&str]); 9] = [
    ("leasehold-common", &[]),
    ("leasehold-ops", &["leasehold-common"]),
    ("leasehold-store", &["leasehold-common"]),
    ("leasehold-scheduler", &["leasehold-common", "leasehold-ops", "leasehold-store"]),
    ("leasehold-executor", &["leasehold-common", "leasehold-ops", "leasehold-store"]),
    (
        "leasehold",
        &["leasehold-common", "leasehold-executor", "leasehold-ops", "leasehold-scheduler", "leasehold-store"],
    ),
    // For tests of users: nothing that ships may depend on it.
    ("leasehold-testkit", &["leasehold-common", "leasehold-executor", "leasehold-store"]),
    ("custom-executor", &["leasehold-common", "leasehold-executor", "leasehold-store"]),
    (
        "leasehold-tests",
        &[
            "leasehold",
            "leasehold-common",
            "leasehold-executor",
            "leasehold-ops",
            "leasehold-scheduler",
            "leasehold-store",
        ],
    ),
];

/// Statements that one dialect has alone: PostgreSQL does in one statement what SQLite does in several, and needs row
/// locks where SQLite has its one writer.
const ONLY_POSTGRES: &[&str] = &[
    "catalog/lock_gates",
    "catalog/lock_items",
    "catalog/lock_jobs",
    "catalog/lock_tokens",
    "catalog/report_past",
    "catalog/tokens",
    "queue/activate",
    "queue/charge",
    "queue/claim",
    "queue/claimed",
    "queue/dismiss",
    "queue/fence_claim",
    "queue/hint",
    "queue/lock_runs",
    "queue/lock_waiting",
    "queue/settle",
    "queue/wake_timed",
    "runs/cancel_waiting",
    "runs/trigger_of_tenant",
    "schedules/dispatch",
    "schedules/lock_catalog",
    "schedules/prune",
    "schedules/prune_catalog",
    "schedules/rescue",
    "schedules/sweep",
];
const ONLY_SQLITE: &[&str] = &[
    "breakers/due",
    "breakers/set_gate",
    "callbacks/mint",
    "callbacks/move",
    "dead/carry",
    "dead/mark",
    "hooks/alive",
    "hooks/dead",
    "hooks/forget",
    "hooks/put",
    "queue/activate_delete",
    "queue/activate_insert",
    "queue/begun_once",
    "queue/cancel_previous",
    "queue/cancelled",
    "queue/candidates",
    "queue/charge_lanes",
    "queue/charge_shares",
    "queue/claimed_runs",
    "queue/deal",
    "queue/drop_claims",
    "queue/due_gates",
    "queue/due_items",
    "queue/end_unclaimed",
    "queue/failing",
    "queue/finish",
    "queue/forgive",
    "queue/gates",
    "queue/give_back",
    "queue/held_run",
    "queue/late_items",
    "queue/needed",
    "queue/new_claim",
    "queue/next_ahead",
    "queue/open_lanes",
    "queue/out_of_place",
    "queue/parked",
    "queue/put_passed",
    "queue/rearm",
    "queue/report",
    "queue/requeue",
    "queue/restart",
    "queue/set_share",
    "queue/start",
    "queue/take",
    "queue/take_ahead",
    "queue/take_parked",
    "queue/take_turn",
    "queue/turn_away",
    "queue/waiting_previous",
    "queue/waits",
    "roster/forget",
    "roster/put_sources",
    "runs/enqueue_item",
    "runs/enqueued_as",
    "runs/job_active",
    "runs/waiting_run",
    "schedules/advance",
    "schedules/enqueue",
    "schedules/expired_claims",
    "schedules/prune_callbacks",
    "schedules/prune_executors",
    "schedules/prune_gates",
    "schedules/prune_jobs",
    "schedules/prune_progress",
    "schedules/prune_reports",
    "schedules/prune_shares",
    "schedules/prune_versions",
    "schedules/report_skipped",
    "schedules/unclaimed",
    "schedules/watermarks",
];

/// The longest Rust file.
const LINES_MAX: usize = 600;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file that git knows or would take in, relative to the repository.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<PathBuf> = list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    files.retain(|file| repository().join(file).is_file());
    assert!(files.len() > 100, "only {} files", files.len());
    files
}

fn with_extension(extension: &str) -> Vec<PathBuf> {
    files().into_iter().filter(|file| file.extension().is_some_and(|found| found == extension)).collect()
}

fn read(file: impl AsRef<Path>) -> String {
    let file = file.as_ref();
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Fails with all findings, not only the first.
fn none(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Lines of a Rust file without their comments, with their numbers. Text in quotes stays.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| (at + 1, line))
}

/// The manifests of the workspace's members.
fn manifests() -> Vec<PathBuf> {
    let root = read("Cargo.toml");
    let members = root.lines().find_map(|line| line.strip_prefix("members = [")).unwrap().trim_end_matches(']');
    let manifests: Vec<PathBuf> =
        members.split(',').map(|member| Path::new(member.trim().trim_matches('"')).join("Cargo.toml")).collect();
    assert!(manifests.len() >= 7, "{manifests:?}");
    manifests
}

fn name_of(manifest: &str) -> &str {
    manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"')
}

/// What stands in `[dependencies]` and `[dev-dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let mut within = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = line.ends_with("dependencies]");
        } else if within && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            found.insert(line.split(['.', ' ', '=']).next().unwrap());
        }
    }
    found
}

#[test]
fn crates_depend_in_one_direction() {
    let allowed: BTreeMap<&str, &[&str]> = DEPENDENCIES.into();
    let mut findings = Vec::new();
    for path in manifests() {
        let manifest = read(&path);
        let name = name_of(&manifest);
        let Some(allowed) = allowed.get(name) else {
            findings.push(format!("{name} is not in the list of this test"));
            continue;
        };
        let ours = dependencies(&manifest).into_iter().filter(|name| name.starts_with("leasehold"));
        findings.extend(ours.filter(|on| !allowed.contains(on)).map(|on| format!("{name} depends on {on}")));
    }
    none("dependencies in the wrong direction", findings);
}

#[test]
fn only_the_store_knows_its_databases() {
    let mut findings = Vec::new();
    for path in manifests().into_iter().filter(|path| !path.starts_with("store") && !path.starts_with("tests")) {
        let manifest = read(&path);
        for database in ["sqlx", "redis"] {
            if dependencies(&manifest).contains(database) {
                findings.push(format!("{} names {database}", path.display()));
            }
        }
    }
    // A test of what handlers do with their tenants' databases is a handler.
    let is_theirs = |path: &PathBuf| {
        path.starts_with("store") || path.starts_with("tests") || path.ends_with("executor/tests/tenant_databases.rs")
    };
    for path in with_extension("rs").into_iter().filter(|path| !is_theirs(path)) {
        for (at, line) in
            code_lines(&read(&path)).filter(|(_, line)| line.contains("sqlx::") || line.contains("redis::"))
        {
            findings.push(format!("{}:{at}: {}", path.display(), line.trim()));
        }
    }
    none("sqlx or redis outside of store/", findings);
}

#[test]
fn crates_share_version_edition_and_lints() {
    let mut findings = Vec::new();
    for path in manifests() {
        let manifest = read(&path);
        let shared = ["version", "edition", "rust-version", "license"].map(|key| format!("\n{key}.workspace = true\n"));
        for want in shared.iter().map(String::as_str).chain(["\n[lints]\nworkspace = true\n"]) {
            if !manifest.contains(want) {
                findings.push(format!("{} has no `{}`", path.display(), want.trim().replace('\n', " ")));
            }
        }
    }
    none("manifests", findings);
}

#[test]
fn nothing_is_unsafe() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    let mut findings = Vec::new();
    for path in with_extension("rs").into_iter().filter(|path| !path.ends_with("tests/tests/tidy.rs")) {
        for (at, line) in code_lines(&read(&path)).filter(|(_, line)| words(line).any(|word| word == "unsafe")) {
            findings.push(format!("{}:{at}: {}", path.display(), line.trim()));
        }
    }
    none("unsafe code", findings);
}

#[test]
fn rust_files_stay_short() {
    let long = with_extension("rs").into_iter().map(|path| (read(&path).lines().count(), path));
    none(
        "files with too many lines",
        long.filter(|(n, _)| *n > LINES_MAX).map(|(n, p)| format!("{n} {}", p.display())).collect(),
    );
}

#[test]
fn files_have_names_that_say_something() {
    let empty = ["util", "utils", "helper", "helpers", "manager", "misc"];
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    none(
        "names",
        with_extension("rs")
            .iter()
            .filter(|p| empty.contains(&stem(p).as_str()))
            .map(|p| p.display().to_string())
            .collect(),
    );
}

#[test]
fn lints_are_silenced_with_a_reason() {
    let mut findings = Vec::new();
    for path in with_extension("rs") {
        let text = read(&path);
        for (at, _) in
            ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().flat_map(|mark| text.match_indices(mark))
        {
            let attribute = &text[at..at + text[at..].find(")]").unwrap_or(0)];
            let line_start = text[..at].rfind('\n').map_or(0, |end| end + 1);
            if text[line_start..at].trim().is_empty() && !attribute.contains("reason =") {
                findings.push(format!("{}: {attribute})]", path.display()));
            }
        }
    }
    none("silenced without a reason", findings);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let calls = [concat!("unimplemented", "!"), concat!("to", "do!(")];
    let mut findings = Vec::new();
    for path in text_files() {
        for (at, line) in read(&path).lines().enumerate() {
            if words(line).any(|word| marks.contains(&word)) || calls.iter().any(|call| line.contains(call)) {
                findings.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    // Where the rule itself stands.
    findings.retain(|finding| !finding.starts_with("tests/tests/tidy.rs:"));
    none("marks of unfinished work", findings);
}

#[test]
fn no_path_of_somebodys_machine_is_in_a_file() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut findings = Vec::new();
    for path in text_files() {
        for (at, line) in read(&path).lines().enumerate() {
            if folders.iter().any(|folder| line.contains(folder)) {
                findings.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    none("paths of a machine", findings);
}

/// Everything that people write; not the lock file, which cargo writes.
fn text_files() -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|path| !path.ends_with("Cargo.lock") && fs::read_to_string(repository().join(path)).is_ok());
    files
}

/// `concern/name` of each statement of a dialect.
fn statements(dialect: &str) -> BTreeSet<String> {
    let folder = Path::new("store/sql").join(dialect);
    let names = with_extension("sql").into_iter().filter_map(|path| {
        let name = path.strip_prefix(&folder).ok()?.with_extension("");
        Some(name.to_str().unwrap().to_owned())
    });
    let names: BTreeSet<String> = names.collect();
    assert!(names.len() > 20, "{dialect}: {names:?}");
    names
}

#[test]
fn every_statement_is_used() {
    for dialect in ["postgres", "sqlite"] {
        let folder = Path::new("store/src").join(dialect);
        let code: String =
            with_extension("rs").into_iter().filter(|path| path.starts_with(&folder)).map(read).collect();
        let unused = statements(dialect).into_iter().filter(|name| !code.contains(&format!("\"{name}\"")));
        none(&format!("statements of {dialect} that no code uses"), unused.collect());
    }
    let code: String = with_extension("rs").into_iter().filter(|path| path.starts_with("store")).map(read).collect();
    let scripts =
        with_extension("lua").into_iter().map(|path| path.strip_prefix("store/").unwrap().display().to_string());
    none("scripts that no code uses", scripts.filter(|path| !code.contains(&format!("../{path}\""))).collect());
}

#[test]
fn both_dialects_name_their_statements_alike() {
    let (postgres, sqlite) = (statements("postgres"), statements("sqlite"));
    let only =
        |these: &BTreeSet<String>, those: &BTreeSet<String>| these.difference(those).cloned().collect::<Vec<_>>();
    assert_eq!(only(&postgres, &sqlite), ONLY_POSTGRES, "statements of PostgreSQL alone");
    assert_eq!(only(&sqlite, &postgres), ONLY_SQLITE, "statements of SQLite alone");
}

/// A statement that locks, or that waits for locks, begins by saying why.
#[test]
fn locks_have_their_reason_on_top() {
    let mut findings = Vec::new();
    for path in with_extension("sql").into_iter().filter(|path| path.starts_with("store/sql")) {
        let text = read(&path);
        let (comments, code): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("--"));
        let code = code.join("\n");
        let locks = ["FOR UPDATE", "FOR KEY SHARE", "FOR SHARE", "order_reports", "advisory"];
        let says =
            comments.iter().any(|line| line.len() > 20 && !line.starts_with("-- $") && !line.starts_with("-- ?"));
        if locks.iter().any(|lock| code.contains(lock)) && !says {
            findings.push(path.display().to_string());
        }
    }
    none("statements that lock and do not say why", findings);
}

#[test]
fn migrations_are_numbered_without_gaps_and_alike() {
    let names = |dialect: &str| -> Vec<String> {
        let folder = Path::new("migrations").join(dialect);
        let mut names: Vec<String> = with_extension("sql")
            .into_iter()
            .filter_map(|path| Some(path.strip_prefix(&folder).ok()?.to_str().unwrap().to_owned()))
            .collect();
        names.sort_unstable();
        names
    };
    let postgres = names("postgres");
    assert_eq!(postgres, names("sqlite"), "both dialects have the same migrations");
    assert!(!postgres.is_empty());
    for (at, name) in postgres.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", at + 1)), "{name} is number {}", at + 1);
    }
}

/// Each metric that the code names is documented, and the other way round.
#[test]
fn metrics_are_documented() {
    let metric = |word: &str| word.starts_with("leasehold_");
    let crates = ["leasehold_common", "leasehold_executor", "leasehold_ops", "leasehold_scheduler", "leasehold_store"];
    let quoted = |text: &str| -> BTreeSet<String> {
        text.split('"').filter(|word| metric(word) && words(word).count() == 1).map(str::to_owned).collect()
    };
    let sources = with_extension("rs").into_iter().filter(|path| {
        path.starts_with("scheduler/src") || path.starts_with("executor/src") || path.starts_with("ops/src")
    });
    let mut measured: BTreeSet<String> = sources.flat_map(|path| quoted(&read(path))).collect();
    measured.retain(|name| !crates.contains(&name.as_str()));
    assert!(measured.len() > 20, "{measured:?}");
    let page = read("docs/reference/metrics.md");
    let documented: BTreeSet<String> =
        words(&page).map(|word| word.trim_end_matches('_')).filter(|word| metric(word)).map(str::to_owned).collect();
    none(
        "metrics that are not documented",
        measured.iter().filter(|name| !documented.contains(*name)).cloned().collect(),
    );
}

/// Each variable of a flag is documented.
#[test]
fn variables_of_flags_are_documented() {
    let page: String = ["docs/reference/cli.md", "docs/reference/fleets.md"].map(read).concat();
    let documented: BTreeSet<&str> = words(&page).collect();
    let mut findings = BTreeSet::new();
    for path in with_extension("rs").into_iter().filter(|path| !path.starts_with("tests")) {
        for (_, line) in code_lines(&read(&path)).filter(|(_, line)| !line.contains("hide = true")) {
            let Some(rest) = line.split("env = \"").nth(1) else { continue };
            let variable = rest.split('"').next().unwrap();
            if variable.starts_with("LEASEHOLD_") && !documented.contains(variable) {
                findings.insert(format!("{variable} ({})", path.display()));
            }
        }
    }
    none("variables that neither docs/reference/cli.md nor fleets.md names", findings.into_iter().collect());
}

/// The links of a page: text outside of code, `](target)`.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        found.extend(prose.split("](").skip(1).filter_map(|rest| Some(rest[..rest.find(')')?].to_owned())));
    }
    found
}

/// The anchors that GitHub gives to headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let headings = text.lines().filter(|line| {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        !fenced && line.starts_with('#')
    });
    let slug = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(slug).collect()
}

/// `a/b/../c` to `a/c`.
fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
        path
    })
}

/// The file that a link of `page` leads to; `None` if it leads out of the repository.
fn target(page: &Path, link: &str) -> Option<(PathBuf, String)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let file = if path.is_empty() { page.to_owned() } else { clean(&page.parent().unwrap().join(path)) };
    Some((file, anchor.to_owned()))
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for page in with_extension("md") {
        for link in links(&read(&page)) {
            let Some((file, anchor)) = target(&page, &link) else { continue };
            let there = repository().join(&file);
            if !there.exists() {
                findings.push(format!("{}: {link}", page.display()));
            } else if !anchor.is_empty() && !anchors(&read(&file)).contains(&anchor) {
                findings.push(format!("{}: {link} (no such heading)", page.display()));
            }
        }
    }
    none("links that lead nowhere", findings);
}

#[test]
fn every_page_of_the_manual_can_be_reached() {
    let first = PathBuf::from("docs/README.md");
    let mut reached = BTreeSet::from([first.clone()]);
    let mut next = VecDeque::from([first]);
    while let Some(page) = next.pop_front() {
        for link in links(&read(&page)) {
            let found = target(&page, &link).map(|(file, _)| file);
            let page = found.filter(|file| file.starts_with("docs") && file.extension().is_some_and(|e| e == "md"));
            next.extend(page.filter(|page| repository().join(page).exists() && reached.insert(page.clone())));
        }
    }
    let pages = with_extension("md").into_iter().filter(|page| page.starts_with("docs"));
    none(
        "pages that docs/README.md does not lead to",
        pages.filter(|p| !reached.contains(p)).map(|p| p.display().to_string()).collect(),
    );
}

#[test]
fn the_papers_of_a_project_are_there() {
    assert!(read("CHANGELOG.md").contains("\n## [Unreleased]\n"));
    let license = read("LICENSE");
    assert!(license.contains("Apache License") && license.contains("END OF TERMS AND CONDITIONS"));
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        assert!(read(page).len() > 1_000, "{page}");
    }
    let version =
        read("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().replace('"', "");
    for page in ["README.md", "CONTRIBUTING.md"] {
        assert!(
            read(page).contains(&format!("Rust {version} or later")),
            "{page} names another version than Cargo.toml"
        );
    }
}
